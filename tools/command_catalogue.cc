// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// lockstep defects, lockstep properties: the catalogues.

#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "engine/defect.h"
#include "engine/profile.h"
#include "props/property.h"
#include "tools/command.h"
#include "tools/json.h"

namespace lockstep {
namespace {

class CatalogueCommand : public Command {
 public:
  absl::string_view arguments() const override { return ""; }
  std::vector<Option> Options() override {
    return {SwitchOption("--json", "one JSON object a line", &json_)};
  }
  ExitStatus Run(absl::Span<const std::string> args) override {
    if (!args.empty()) {
      return Fail(
          kExitUsage,
          absl::StrFormat("expected no argument, found \"%s\"", args[0]));
    }
    PrintAll();
    return kExitFine;
  }

 protected:
  virtual void PrintAll() const = 0;
  bool json_ = false;
};

// The names of the profiles that `has` says yes to.
template <typename Has>
std::vector<std::string> Kernels(Has has) {
  std::vector<std::string> names;
  for (const Profile& profile : AllProfiles()) {
    if (has(profile)) names.emplace_back(profile.name);
  }
  return names;
}

class DefectsCommand : public CatalogueCommand {
 public:
  absl::string_view name() const override { return "defects"; }
  absl::string_view summary() const override {
    return "the catalogue of historical bugs: what, when, what sees it";
  }
  absl::string_view description() const override {
    return "Lists the defects that a kernel's model can have, each a switch of "
           "--defect.";
  }

 protected:
  void PrintAll() const override {
    for (const DefectInfo& info : AllDefects()) {
      const std::vector<std::string> shipped =
          Kernels([&](const Profile& p) { return p.shipped.Has(info.defect); });
      const std::vector<std::string> applicable = Kernels(
          [&](const Profile& p) { return p.applicable.Has(info.defect); });
      if (json_) {
        JsonObject line;
        line.Add("number", info.number)
            .Add("name", info.name)
            .Add("fix", info.fix)
            .Add("affected", info.affected)
            .Add("mechanism", info.mechanism)
            .Add("shipped", shipped)
            .Add("applicable", applicable)
            .Add("property", info.property);
        absl::PrintF("%s\n", line.ToString());
        continue;
      }
      absl::PrintF(
          "%s %s\n    %s\n    affected: %s\n    fixed by: %s\n"
          "    shipped with: %s; can be switched on in: %s\n"
          "    seen by: %s\n",
          info.number, info.name, info.mechanism, info.affected, info.fix,
          shipped.empty() ? "no profile" : absl::StrJoin(shipped, ", "),
          absl::StrJoin(applicable, ", "), info.property);
    }
  }
};

class PropertiesCommand : public CatalogueCommand {
 public:
  absl::string_view name() const override { return "properties"; }
  absl::string_view summary() const override {
    return "the properties that are checked, with their sources";
  }
  absl::string_view description() const override {
    return "Lists the invariants and contracts that are checked after every "
           "step, and what two\nengines must agree on.";
  }

 protected:
  void PrintAll() const override {
    for (const PropertyInfo& info : AllProperties()) {
      const absl::string_view kind = NameOf(info.kind);
      if (json_) {
        JsonObject line;
        line.Add("name", info.name)
            .Add("kind", kind)
            .Add("statement", info.statement)
            .Add("source", info.source);
        absl::PrintF("%s\n", line.ToString());
        continue;
      }
      absl::PrintF("%s (%s)\n    %s\n    source: %s\n", info.name, kind,
                   info.statement, info.source);
    }
  }
};

}  // namespace

std::unique_ptr<Command> MakeDefectsCommand() {
  return std::make_unique<DefectsCommand>();
}
std::unique_ptr<Command> MakePropertiesCommand() {
  return std::make_unique<PropertiesCommand>();
}

}  // namespace lockstep
