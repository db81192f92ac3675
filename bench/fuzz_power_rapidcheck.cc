// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include <array>
#include <memory>
#include <optional>
#include <ostream>
#include <utility>
#include <vector>

#include "bench/fuzz_power_search.h"
#include "engine/program.h"
#include "engine/reference/reference_engine.h"
#include "engine/step.h"
#include "engine/uapi.h"
#include "engine/units.h"
#include "props/runner.h"
#include "rapidcheck.h"
#include "rapidcheck/state.h"

namespace lockstep {
namespace {

constexpr uint64_t kArenaPages = 64;

struct PageRange {
  uint64_t first = 0;
  uint64_t count = 1;
};

// What the author of such a test would keep: where something was mapped.
struct Model {
  std::vector<PageRange> mapped;
};

struct Sut {
  Runner* runner;
  uint64_t* steps;
};

using rc::gen::element;
using rc::gen::inRange;

// One time in n.
bool OneIn(int n) { return *inRange(0, n) == 0; }

// Each of the bits half of the time.
uint32_t SomeOf(std::initializer_list<uint32_t> bits) {
  uint32_t flags = 0;
  for (uint32_t bit : bits) {
    if (OneIn(2)) flags |= bit;
  }
  return flags;
}

// A range that was mapped, a part of one, or any.
PageRange DrawPages(const Model& model) {
  PageRange pages;
  if (model.mapped.empty() || OneIn(4)) {
    pages.first = *inRange<uint64_t>(0, kArenaPages);
    pages.count = *inRange<uint64_t>(1, 33);
    return pages;
  }
  pages = model.mapped[*inRange<size_t>(0, model.mapped.size())];
  if (OneIn(2)) return pages;
  const uint64_t skipped = *inRange<uint64_t>(0, pages.count);
  pages.first += skipped;
  pages.count = *inRange<uint64_t>(1, pages.count - skipped + 1);
  return pages;
}

constexpr Op kDuringOps[] = {
    Op::kTouch,   Op::kSetCpu,  Op::kDrain,    Op::kReclaim, Op::kIsolate,
    Op::kPutback, Op::kMigrate, Op::kCollapse, Op::kSplit,   Op::kFatalSignal};

During DrawDuring(const Model& model) {
  During during;
  during.point = static_cast<Point>(*inRange(1, kPointCount));
  during.op = kDuringOps[*inRange<size_t>(0, std::size(kDuringOps))];
  during.addr = Address::Arena(Vpn{DrawPages(model).first});
  during.task = *inRange<uint8_t>(0, 3);
  during.slot = *inRange<uint8_t>(0, 2);
  during.nth = *inRange<uint16_t>(0, 3);
  during.value = *inRange<uint16_t>(0, 2);
  return during;
}

uint32_t DrawFlags(Op op) {
  switch (op) {
    case Op::kMmap:
      return *element(uapi::kMapPrivate, uapi::kMapShared) |
             (OneIn(4) ? 0 : uapi::kMapFixed) |
             (OneIn(4) ? 0 : uapi::kMapAnonymous) |
             SomeOf({uapi::kMapLocked, uapi::kMapPopulate}) |
             (OneIn(4) ? uapi::kMapGrowsdown : 0);
    case Op::kMremap:
      return SomeOf(
          {uapi::kMremapMaymove, uapi::kMremapFixed, uapi::kMremapDontunmap});
    case Op::kMadvise:
      return *inRange<uint32_t>(0, 26);
    case Op::kMsync:
      return SomeOf({uapi::kMsAsync, uapi::kMsInvalidate, uapi::kMsSync});
    case Op::kMlock2:
      return SomeOf({uapi::kMlockOnfault});
    case Op::kMlockall:
      return SomeOf({uapi::kMclCurrent, uapi::kMclFuture, uapi::kMclOnfault});
    case Op::kShmat:
      return SomeOf({uapi::kShmRdonly, uapi::kShmRemap});
    case Op::kShmctl:
      return *element(uapi::kIpcRmid, uapi::kShmLock, uapi::kShmUnlock);
    default:
      return 0;
  }
}

// Any call or environment action. RapidCheck likes a class a call; one class
// with the op as data draws the same.
class Call : public rc::state::Command<Model, Sut> {
 public:
  explicit Call(const Model& model) {
    step_.op = static_cast<Op>(*inRange(1, kOpCount));
    const OpInfo& info = InfoOf(step_.op);
    if (OneIn(4)) step_.task = *inRange<uint8_t>(1, 3);
    const PageRange pages = DrawPages(model);
    if (info.Uses(Field::kAddr)) step_.addr = Address::Arena(Vpn{pages.first});
    if (info.Uses(Field::kLength)) step_.length = pages.count * kPageSize;
    if (info.Uses(Field::kNewAddr)) {
      step_.new_addr = Address::Arena(Vpn{DrawPages(model).first});
    }
    if (info.Uses(Field::kLength2)) {
      step_.length2 = step_.op == Op::kMmap
                          ? *inRange<uint64_t>(0, 4)
                          : DrawPages(model).count * kPageSize;
    }
    if (info.Uses(Field::kProt)) {
      step_.prot = SomeOf({uapi::kProtRead, uapi::kProtWrite, uapi::kProtExec});
    }
    if (info.Uses(Field::kFlags)) step_.flags = DrawFlags(step_.op);
    if (info.Uses(Field::kSlot)) step_.slot = *inRange<uint8_t>(0, 4);
    if (info.Uses(Field::kValue)) step_.value = *inRange<uint32_t>(0, 2);
    if (!IsEnvironment(step_.op) && OneIn(3)) step_.Add(DrawDuring(model));
  }

  void apply(Model& model) const override {
    if (step_.op != Op::kMmap) return;
    model.mapped.push_back(
        {step_.addr.value / kPageSize, step_.length / kPageSize});
  }

  void run(const Model& /*model*/, Sut& sut) const override {
    ++*sut.steps;
    const std::optional<Violation> violation = sut.runner->Run(step_);
    if (violation) RC_FAIL(violation->property);
  }

  void show(std::ostream& out) const override { out << DebugString(step_); }

 private:
  Step step_;
};

Config DrawConfig(const SearchTask& task) {
  Config config;
  config.SetProfile(*task.profile);
  config.defects = task.defects;
  config.memlock_limit = *inRange<uint64_t>(0, kArenaPages) * kPageSize;
  config.cap_ipc_lock = OneIn(4);
  config.zones = *inRange<uint32_t>(1, 3);
  config.transparent_hugepage =
      *element(TransparentHugepage::kNever, TransparentHugepage::kMadvise,
               TransparentHugepage::kAlways);
  return config;
}

}  // namespace

SearchResult SearchByRapidCheck(const SearchTask& task) {
  reference::ReferenceEngine engine;
  Runner runner(&engine);
  SearchResult result;
  rc::detail::TestParams params;
  params.disableShrinking = true;
  // RapidCheck lets programs grow over the cases of one check; a hundred are
  // its default.
  for (uint64_t round = 0; !IsOver(task); ++round) {
    params.seed = task.seed * 1'000'003 + round;
    const rc::detail::TestResult outcome = rc::detail::checkTestable(
        [&] {
          const Config config = DrawConfig(task);
          RC_PRE(runner.Start(config).ok());
          Sut sut{&runner, &result.steps};
          rc::state::check(Model(), sut,
                           rc::state::gen::execOneOfWithArgs<Call>());
        },
        rc::detail::TestMetadata(), params);
    if (outcome.template is<rc::detail::FailureResult>()) {
      result.found = true;
      return result;
    }
  }
  return result;
}

}  // namespace lockstep
