// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/contracts.h"

#include <vector>

namespace lockstep {
namespace contracts {
namespace {

std::vector<Contract> Concatenate() {
  std::vector<Contract> all;
  for (absl::Span<const Contract> part :
       {MlockContracts(), MunlockContracts(), MlockallContracts(),
        MmapContracts(), MprotectContracts(), MremapContracts(), BrkContracts(),
        MadviseContracts(), AccessContracts(), TaskContracts(), ShmContracts(),
        LawContracts(), MigrateContracts()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

}  // namespace

const Contract* FindContract(absl::string_view name) {
  for (const Contract& contract : AllContracts()) {
    if (contract.name == name) return &contract;
  }
  return nullptr;
}

}  // namespace contracts

absl::Span<const Contract> AllContracts() {
  // Never destroyed: a static may still check at exit.
  static const auto& all = *new std::vector<Contract>(contracts::Concatenate());
  return all;
}

}  // namespace lockstep
