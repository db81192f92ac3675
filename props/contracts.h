// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The parts of the contracts' table, one a group of calls. AllContracts() in
// props/property.h is their concatenation in this order.

#ifndef LOCKSTEP_PROPS_CONTRACTS_H_
#define LOCKSTEP_PROPS_CONTRACTS_H_

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "props/property.h"

namespace lockstep::contracts {

// The one contract about PG_mlocked, which a program sees with root's rights.
inline constexpr absl::string_view kMlockMlocked = "mlock-mlocked";

absl::Span<const Contract> MlockContracts();     // mlock, mlock2
absl::Span<const Contract> MunlockContracts();   // munlock
absl::Span<const Contract> MlockallContracts();  // mlockall, munlockall
absl::Span<const Contract> MmapContracts();      // mmap, munmap
absl::Span<const Contract> MprotectContracts();  // mprotect
absl::Span<const Contract> MremapContracts();    // mremap
absl::Span<const Contract> BrkContracts();       // brk
absl::Span<const Contract> MadviseContracts();   // madvise
absl::Span<const Contract> AccessContracts();    // msync, mincore, touch
absl::Span<const Contract> TaskContracts();      // fork, exec, exit, limits
absl::Span<const Contract> ShmContracts();       // SysV shared memory
absl::Span<const Contract> LawContracts();       // every step
absl::Span<const Contract> MigrateContracts();   // migrate

// Every law holds of every task that the step may have changed. Agrees with the
// rows that are asked as laws, and takes one pass for all of them.
bool LawsHold(const StepContext& context);

// The row of that name; nullptr if there is none.
const Contract* FindContract(absl::string_view name);

}  // namespace lockstep::contracts

#endif  // LOCKSTEP_PROPS_CONTRACTS_H_
