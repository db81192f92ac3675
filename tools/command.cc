// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/command.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/profile.h"
#include "tools/session.h"

namespace lockstep {
namespace {

constexpr absl::string_view kVersion = "lockstep 0.1";

using Commands = std::vector<std::unique_ptr<Command>>;

Commands AllCommands() {
  Commands commands;
  commands.push_back(MakeRunCommand());
  commands.push_back(MakeFuzzCommand());
  commands.push_back(MakeShrinkCommand());
  commands.push_back(MakeReproCommand());
  commands.push_back(MakeDefectsCommand());
  commands.push_back(MakePropertiesCommand());
  return commands;
}

Command* Find(const Commands& commands, absl::string_view name) {
  for (const std::unique_ptr<Command>& command : commands) {
    if (command->name() == name) return command.get();
  }
  return nullptr;
}

std::string GeneralHelp(const Commands& commands) {
  std::string text =
      "lockstep runs sequences of memory-locking system calls on a model of "
      "the\nkernel and checks every property after every step.\n\n"
      "usage: lockstep COMMAND [OPTION]... [PROGRAM]...\n\n";
  for (const std::unique_ptr<Command>& command : commands) {
    std::string line = absl::StrCat("  ", command->name());
    line.resize(14, ' ');
    absl::StrAppend(&text, line, command->summary(), "\n");
  }
  absl::StrAppend(
      &text,
      "  help        what a command does and its options\n\n"
      "Exit status: 0 fine, 1 a property was violated, 2 usage or unreadable\n"
      "input, 3 this machine or this build cannot do it.\n");
  return text;
}

std::string HelpOf(Command& command) {
  return absl::StrCat("usage: lockstep ", command.name(), " [OPTION]...",
                      command.arguments().empty() ? "" : " ",
                      command.arguments(), "\n\n", command.description(),
                      "\n\n", FormatOptions(command.Options()),
                      "  --help              this\n");
}

ExitStatus Complain(absl::string_view message) {
  std::fputs(absl::StrCat("lockstep: ", message, "\n").c_str(), stderr);
  return kExitUsage;
}

std::string NamesOf(const Commands& commands) {
  return absl::StrJoin(commands, ", ",
                       [](std::string* out, const auto& command) {
                         absl::StrAppend(out, command->name());
                       });
}

ExitStatus Print(absl::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  return kExitFine;
}

ExitStatus Help(const Commands& commands, absl::Span<const std::string> args) {
  if (args.empty()) return Print(GeneralHelp(commands));
  Command* command = Find(commands, args[0]);
  if (command == nullptr || args.size() > 1) {
    return Complain(absl::StrCat("help: expected one command of ",
                                 NamesOf(commands), ", found \"",
                                 absl::StrJoin(args, " "), "\""));
  }
  return Print(HelpOf(*command));
}

}  // namespace

ExitStatus Command::Fail(ExitStatus status, absl::string_view message) const {
  std::fputs(absl::StrCat("lockstep ", name(), ": ", message, "\n").c_str(),
             stderr);
  return status;
}

ExitStatus Command::Fail(const absl::Status& status) const {
  const bool impossible = absl::IsUnavailable(status) ||
                          absl::IsUnimplemented(status) ||
                          absl::IsResourceExhausted(status);
  return Fail(impossible ? kExitImpossible : kExitUsage, status.message());
}

std::vector<Option> EngineOptions::Rows(bool with_all_kernels) {
  std::vector<absl::string_view> kernels;
  for (const Profile& profile : AllProfiles()) kernels.push_back(profile.name);
  const auto check_kernel = [this, with_all_kernels](absl::string_view value) {
    if (!(with_all_kernels && value == "all")) {
      absl::StatusOr<const Profile*> profile = FindProfile(value);
      if (!profile.ok()) return profile.status();
    }
    kernel = std::string(value);
    return absl::OkStatus();
  };
  return {
      {"--kernel", "NAME",
       absl::StrCat(
           "the modelled kernel: ", absl::StrJoin(kernels, ", "),
           with_all_kernels ? ", or all of them, one after the other" : ""),
       check_kernel},
      StringOption("--defect", "LIST",
                   "changes to the kernel's own defects: +name, -name, none\n"
                   "(see lockstep defects)",
                   &defects),
      StringOption("--engine", "NAME", "reference, the model", &engine),
  };
}

absl::Status EngineOptions::CheckEngine() const {
  if (engine == "reference") return absl::OkStatus();
  if (engine == "host" || absl::StartsWith(engine, "guest")) {
    return absl::UnimplementedError(
        absl::StrCat("--engine=", engine,
                     ": this build has no such engine, it has: reference"));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--engine=", engine, ": unknown engine, expected reference"));
}

absl::Status EngineOptions::Apply(Config* config) const {
  return ChangeConfig(kernel, defects, config);
}

absl::Status WriteOutput(const std::string& path, absl::string_view text) {
  if (!path.empty() && path != "-") return WriteFileAtomically(path, text);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return absl::OkStatus();
}

absl::Status FlushOutput() {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) {
    return absl::OkStatus();
  }
  return absl::UnknownError(
      absl::StrCat("cannot write to standard output: ",
                   errno != 0 ? std::strerror(errno) : "write error"));
}

ExitStatus RunCommandLine(absl::Span<const std::string> args) {
  const Commands commands = AllCommands();
  if (args.empty()) {
    return Complain(
        absl::StrCat("expected a command: ", NamesOf(commands), ", or help"));
  }
  const std::string& name = args[0];
  args.remove_prefix(1);
  if (name == "--version") return Print(absl::StrCat(kVersion, "\n"));
  if (name == "help" || name == "--help" || name == "-h") {
    return Help(commands, args);
  }
  Command* command = Find(commands, name);
  if (command == nullptr) {
    return Complain(absl::StrCat("unknown command \"", name,
                                 "\", expected one of: ", NamesOf(commands),
                                 ", help"));
  }
  for (const std::string& arg : args) {
    if (arg == "--") break;
    if (arg == "--help" || arg == "-h") return Print(HelpOf(*command));
  }
  absl::StatusOr<std::vector<std::string>> rest =
      ParseOptions(command->Options(), args);
  if (!rest.ok()) {
    return Complain(absl::StrCat(name, ": ", rest.status().message(),
                                 " (see lockstep help ", name, ")"));
  }
  return command->Run(*rest);
}

}  // namespace lockstep
