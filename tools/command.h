// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// A command of `lockstep`: its name, its help, its options, what it does.

#ifndef LOCKSTEP_TOOLS_COMMAND_H_
#define LOCKSTEP_TOOLS_COMMAND_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/program.h"
#include "tools/options.h"

namespace lockstep {

enum ExitStatus : int {
  kExitFine = 0,
  kExitViolated = 1,    // a property was violated
  kExitUsage = 2,       // usage, unreadable input, unwritable output
  kExitImpossible = 3,  // this machine or this build cannot do it
};

class Command {
 public:
  virtual ~Command() = default;
  virtual absl::string_view name() const = 0;
  // What stands after "lockstep NAME", without the options.
  virtual absl::string_view arguments() const = 0;
  virtual absl::string_view summary() const = 0;  // one line
  virtual absl::string_view description() const = 0;
  // The rows store into the command.
  virtual std::vector<Option> Options() = 0;
  virtual ExitStatus Run(absl::Span<const std::string> args) = 0;

 protected:
  // "lockstep NAME: MESSAGE" on standard error.
  ExitStatus Fail(ExitStatus status, absl::string_view message) const;
  // The same with the exit status that fits the error.
  ExitStatus Fail(const absl::Status& status) const;
};

std::unique_ptr<Command> MakeRunCommand();
std::unique_ptr<Command> MakeDiffCommand();
std::unique_ptr<Command> MakeFuzzCommand();
std::unique_ptr<Command> MakeShrinkCommand();
std::unique_ptr<Command> MakeReproCommand();
std::unique_ptr<Command> MakeDefectsCommand();
std::unique_ptr<Command> MakePropertiesCommand();

// Which of the common options a command has, and what it takes for --kernel.
enum class EngineRows {
  kOneProfile,     // --kernel=NAME, --engine
  kProfiles,       // and --kernel=all
  kProfileOfReal,  // --kernel=NAME; the engines are named otherwise
};

// Options that several commands have, with what they check at once.
struct EngineOptions {
  std::string kernel;
  std::string defects;
  std::string engine = "reference";
  std::string judged;  // file of judged divergences; empty: the built-in one

  std::vector<Option> Rows(EngineRows rows);
  bool IsReal() const;  // a real kernel
  // InvalidArgument: no such engine, or --kernel=all or host does not go with
  // it.
  absl::Status CheckEngine() const;
  // The program's configuration with what was asked for.
  absl::Status Apply(Config* config) const;
};

// Writes to standard output, or to the file.
absl::Status WriteOutput(const std::string& path, absl::string_view text);

// For standard output: all that was printed has arrived.
absl::Status FlushOutput();

// The part of main() that can fail: `args` without the program's name.
ExitStatus RunCommandLine(absl::Span<const std::string> args);

}  // namespace lockstep

#endif  // LOCKSTEP_TOOLS_COMMAND_H_
