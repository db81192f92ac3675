// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The contract of migration: a page moves to another frame and nobody notices.

#include "absl/strings/str_cat.h"
#include "props/contracts.h"

namespace lockstep::contracts {
namespace {

// Only where the task itself holds the page locked.
uint64_t WasMlocked(const Step& step, const World& before,
                    const Engine& engine) {
  int task = step.task % kTaskSlots;
  Vpn page = PageOf(step.addr.Resolve());
  for (const Range& range : before.tasks[task].ranges) {
    if (page < range.start || page >= range.end) continue;
    PageState state = engine.ObservePage(task, page);
    return range.Has(kRangeLocked) && state.present && state.mlocked ? 1 : 0;
  }
  return 0;
}

bool KeepsMlocked(const StepContext& context, Mismatch* mismatch) {
  if (context.prepared == 0) return true;
  Vpn page = PageOf(context.step.addr.Resolve());
  PageState now =
      context.engine.ObservePage(context.step.task % kTaskSlots, page);
  if (now.present && now.mlocked) return true;
  *mismatch = {"the page still present and Mlocked",
               absl::StrCat(now.present ? "present" : "not present", ", ",
                            now.mlocked ? "Mlocked" : "not Mlocked")};
  return false;
}

}  // namespace

absl::Span<const Contract> MigrateContracts() {
  static constexpr Contract kContracts[] = {
      {.name = "migrate-keeps-mlocked",
       .statement =
           "migration leaves an Mlocked page of a VM_LOCKED VMA Mlocked",
       .source = "remove_migration_pte (51afb12ba809, 4.4)",
       .ops = OpBit(Op::kMigrate),
       .holds = KeepsMlocked,
       .prepare = WasMlocked},
  };
  return kContracts;
}

}  // namespace lockstep::contracts
