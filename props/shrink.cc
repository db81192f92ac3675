// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/shrink.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "engine/defect.h"
#include "engine/profile.h"
#include "props/random.h"
#include "props/shrink_order.h"
#include "props/shrink_passes.h"

namespace lockstep {
namespace {

using namespace shrink_internal;  // NOLINT: the rows of the table below

// What takes most away comes first; what only tidies comes last.
constexpr ShrinkPass kPasses[] = {
    {"drop-notes", "without expectations and description", DropNotes},
    {"delete-chunk", "without a half, a quarter, ... of the steps",
     DeleteChunk},
    {"delete-step", "without one step", DeleteStep},
    {"scale-down", "every length, limit and page divided by a power of two",
     ScaleDown},
    {"step-to-config", "a limit, capability or user set from the start",
     StepToConfig},
    {"merge-lock", "a mapping locked from the start, without the lock's step",
     MergeLock},
    {"clear-unused", "fields that mean nothing to their call are 0",
     ClearUnused},
    {"delete-during", "without one interleaving", DeleteDuring},
    {"default-config", "the configuration, or one field of it, as by default",
     DefaultConfig},
    {"default-limit", "the default limit, and longer ranges that reach it",
     DefaultLimit},
    {"default-huge-pages", "huge pages of the default size, ranges to match",
     DefaultHugePages},
    {"simplify-op", "a call that does less, or the same to one range",
     SimplifyOp},
    {"drop-flag", "flags and protection nearer to the plainest call's",
     DropFlag},
    {"plain-address", "addresses at the start of a page, in the arena",
     PlainAddress},
    {"squeeze-pages", "pages taken out of the arena, what is behind moves down",
     SqueezePages},
    {"smaller-length", "one length smaller, or a range without its first page",
     SmallerLength},
    {"smaller-together", "equal lengths and limits smaller at once",
     SmallerTogether},
    {"balance-lengths", "one length in favour of another", BalanceLengths},
    {"smaller-config", "one field of the configuration smaller", SmallerConfig},
    {"renumber", "slots and pages numbered from 0", Renumber},
    {"swap-slots", "two slots exchanged everywhere", SwapSlots},
    {"smaller-page", "one address at a smaller page, or where another one is",
     SmallerPage},
    {"smaller-number", "one other number smaller", SmallerNumber},
    {"swap-steps", "neighbouring steps or interleavings exchanged", SwapSteps},
    {"delete-pair", "without two steps that are not neighbours", DeletePair},
};

// A hash of numbers, the same on every machine.
class Hash {
 public:
  void Add(uint64_t value) { state_ = Mix(state_ ^ value); }
  void Add(absl::string_view text) {
    Add(text.size());
    for (char c : text) Add(static_cast<uint64_t>(static_cast<uint8_t>(c)));
  }
  void Add(const Address& address) {
    Add(static_cast<uint64_t>(address.base));
    Add(address.value);
  }
  uint64_t value() const { return state_; }

 private:
  uint64_t state_ = 0x10c857e9;
};

// Only what differs from a program file without that line, by name: a field or
// a defect that the catalogue gains does not rename what was found before.
void AddConfig(const Config& config, Hash* hash) {
  hash->Add(config.profile->name);
  for (const DefectInfo& info : AllDefects()) {
    if (config.Has(info.defect) != config.profile->shipped.Has(info.defect)) {
      hash->Add(info.name);
    }
  }
  for (const ConfigField& field : AllConfigFields()) {
    const uint64_t value = field.get(config);
    if (value == DefaultOf(field)) continue;
    hash->Add(field.name);
    hash->Add(value);
  }
}

void AddStep(const Step& step, Hash* hash) {
  for (uint64_t value :
       {static_cast<uint64_t>(step.op), uint64_t{step.task},
        uint64_t{step.slot}, uint64_t{step.during_count}, uint64_t{step.flags},
        uint64_t{step.prot}, uint64_t{step.value}, step.length, step.length2}) {
    hash->Add(value);
  }
  hash->Add(step.addr);
  hash->Add(step.new_addr);
  for (const During& during : step.interleavings()) {
    for (uint64_t value :
         {static_cast<uint64_t>(during.point), static_cast<uint64_t>(during.op),
          uint64_t{during.task}, uint64_t{during.slot}, uint64_t{during.nth},
          uint64_t{during.value}}) {
      hash->Add(value);
    }
    hash->Add(during.addr);
  }
}

// Of every field, used or not, and whether there are notes: candidates that
// differ at all must differ here.
uint64_t CandidateHash(const Program& program) {
  Hash hash;
  AddConfig(program.config, &hash);
  for (const Step& step : program.steps) AddStep(step, &hash);
  hash.Add(program.expectations.size());
  hash.Add(program.description);
  return hash.value();
}

// A rule over the machine's state: which call broke it says little of the bug.
bool IsInvariant(absl::string_view property) {
  for (const PropertyInfo& info : AllProperties()) {
    if (info.name == property) return info.kind == PropertyKind::kInvariant;
  }
  return false;
}

// mlock2 without flags is mlock by another number.
Op CallOf(const Step& step) {
  return step.op == Op::kMlock2 && step.flags == 0 ? Op::kMlock : step.op;
}

// The names of outcomes in a text: errnos, signals, OK. Numbers, addresses and
// other words change from program to program, these say what went wrong.
std::vector<std::string> OutcomesIn(const std::string& text) {
  std::vector<std::string> names;
  size_t i = 0;
  while (i < text.size()) {
    size_t end = i;
    while (end < text.size() && absl::ascii_isalnum(text[end])) ++end;
    const std::string word = text.substr(i, end - i);
    if (OutcomeFromName(word).has_value()) names.push_back(word);
    i = std::max(end, i + 1);
  }
  return names;
}

}  // namespace

absl::Span<const ShrinkPass> AllShrinkPasses() { return kPasses; }

SimplerPrograms::SimplerPrograms(Program program)
    : program_(std::move(program)) {}

std::optional<Program> SimplerPrograms::Next() {
  const absl::Span<const ShrinkPass> passes = AllShrinkPasses();
  while (pass_ < passes.size()) {
    std::optional<Program> candidate =
        passes[pass_].candidate(program_, index_++);
    if (!candidate.has_value()) {
      ++pass_;
      index_ = 0;
    } else if (IsSimpler(*candidate, program_)) {
      return candidate;
    }
  }
  return std::nullopt;
}

const ShrinkPass& SimplerPrograms::pass() const {
  const absl::Span<const ShrinkPass> passes = AllShrinkPasses();
  return passes[std::min(pass_, passes.size() - 1)];
}

ShrinkResult Shrink(const Program& program, const StillFails& still_fails) {
  // 8 MiB of hashes. Forgetting them costs time, not the result: every
  // candidate that is taken is simpler, so this ends.
  constexpr size_t kMostRemembered = size_t{1} << 20;
  ShrinkResult result;
  std::optional<Violation> violation = still_fails(program);
  ++result.tried;
  if (!violation.has_value()) std::abort();  // see REQUIRES
  result.program = program;
  result.violation = *std::move(violation);

  absl::flat_hash_set<uint64_t> tried;
  bool progress = true;
  while (progress) {
    progress = false;
    for (const ShrinkPass& pass : AllShrinkPasses()) {
      for (uint64_t index = 0;;) {
        std::optional<Program> candidate =
            pass.candidate(result.program, index);
        if (!candidate.has_value()) break;
        ++index;
        if (!IsSimpler(*candidate, result.program)) continue;
        if (tried.size() == kMostRemembered) tried.clear();
        if (!tried.insert(CandidateHash(*candidate)).second) continue;
        ++result.tried;
        violation = still_fails(*candidate);
        if (!violation.has_value()) continue;
        result.program = *std::move(candidate);
        result.violation = *std::move(violation);
        progress = true;
        // The same number again: of a list that got shorter, the next one.
        --index;
      }
    }
  }
  return result;
}

bool SameViolation(const Program& program_a, const Violation& a,
                   const Program& program_b, const Violation& b) {
  if (a.property != b.property) return false;
  if (a.step >= program_a.steps.size() || b.step >= program_b.steps.size()) {
    return false;
  }
  if (OutcomesIn(a.seen) != OutcomesIn(b.seen)) return false;
  return IsInvariant(a.property) ||
         CallOf(program_a.steps[a.step]) == CallOf(program_b.steps[b.step]);
}

uint64_t Fingerprint(const Program& program) {
  Hash hash;
  AddConfig(program.config, &hash);
  for (Step step : program.steps) {
    ClearUnusedFields(&step);
    AddStep(step, &hash);
  }
  return hash.value();
}

}  // namespace lockstep
