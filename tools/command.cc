// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/command.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/profile.h"
#include "tools/real_engine.h"
#include "tools/session.h"

namespace lockstep {
namespace {

constexpr absl::string_view kVersion = "lockstep 0.1";

constexpr absl::string_view kHelpEnd =
    R"(  help        what a command does and its options

Exit status: 0 fine, 1 a property was violated, 2 usage or unreadable input,
3 this machine or this build cannot do it. Results are on standard output,
everything else on standard error.

Environment, for real kernels:
  LOCKSTEP_CACHE       directory with kernels/6.1/vmlinuz and so on, which
                       ci/fetch-kernels.sh fills; else XDG_CACHE_HOME/lockstep,
                       else HOME/.cache/lockstep
  LOCKSTEP_QEMU        QEMU's program; else qemu-system-x86_64 of PATH
  LOCKSTEP_QEMU_ACCEL  QEMU's -accel; else tcg
  LOCKSTEP_EXECUTOR    the program that makes the calls; else lockstep_executor
                       beside lockstep, else that of the build
)";

using Commands = std::vector<std::unique_ptr<Command>>;

Commands AllCommands() {
  Commands commands;
  commands.push_back(MakeRunCommand());
  commands.push_back(MakeDiffCommand());
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
      "lockstep runs sequences of memory-locking system calls and checks every "
      "property\nafter every step: on a model of the kernel "
      "(--engine=reference, if none is named),\non the kernel underneath "
      "(host), and on kernels in QEMU (guest:6.1, guest:6.12,\n"
      "guest:PATH-OF-BZIMAGE). Real kernels are compared with the model "
      "too.\n\n"
      "usage: lockstep COMMAND [OPTION]... [PROGRAM]...\n\n";
  for (const std::unique_ptr<Command>& command : commands) {
    std::string line = absl::StrCat("  ", command->name());
    line.resize(14, ' ');
    absl::StrAppend(&text, line, command->summary(), "\n");
  }
  absl::StrAppend(&text, kHelpEnd);
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

std::vector<Option> EngineOptions::Rows(EngineRows which) {
  std::vector<absl::string_view> kernels;
  for (const Profile& profile : AllProfiles()) kernels.push_back(profile.name);
  const bool all = which == EngineRows::kProfiles;
  const auto check_kernel = [this, all](absl::string_view value) {
    if (!(all && value == "all") && value != "host") {
      absl::StatusOr<const Profile*> profile = FindProfile(value);
      if (!profile.ok()) return profile.status();
    }
    kernel = std::string(value);
    return absl::OkStatus();
  };
  std::vector<Option> rows = {
      {"--kernel", "NAME",
       absl::StrCat("the modelled kernel: ", absl::StrJoin(kernels, ", "),
                    all ? ",\nor all of them, one after the other" : "",
                    ";\nhost: the one that fits the real kernel, which is what "
                    "real\nengines take if nothing is given"),
       check_kernel},
      StringOption("--defect", "LIST",
                   "changes to the kernel's own defects: +name, -name, none\n"
                   "(see lockstep defects)",
                   &defects),
  };
  if (which != EngineRows::kOneProfile) {
    rows.push_back(
        StringOption("--judged", "FILE",
                     "divergences of real kernels that are judged and known,\n"
                     "instead of the built-in corpus/judged.txtpb",
                     &judged));
  }
  if (which != EngineRows::kProfileOfReal) {
    rows.push_back(
        StringOption("--engine", "NAME",
                     "reference, the model (if not given); host, the kernel\n"
                     "underneath; guest:VERSION (6.1, 6.12) or guest:BZIMAGE,\n"
                     "a kernel in QEMU",
                     &engine));
  }
  return rows;
}

bool EngineOptions::IsReal() const { return IsRealEngine(engine); }

absl::Status EngineOptions::CheckEngine() const {
  if (IsReal()) {
    if (kernel != "all") return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("--kernel=all: a real kernel is compared with one "
                     "profile, expected a name or host"));
  }
  if (engine != "reference") {
    return absl::InvalidArgumentError(absl::StrCat(
        "--engine=", engine, ": unknown engine, expected ", kEngineNames));
  }
  if (!judged.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--judged=", judged,
        ": only a real kernel has judged divergences, as --engine=host"));
  }
  if (kernel != "host") return absl::OkStatus();
  return absl::InvalidArgumentError(
      "--kernel=host: expected a real kernel, as in --engine=host");
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
