// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/program_proto.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/outcome.h"
#include "engine/profile.h"
#include "engine/program.h"
#include "engine/step.h"
#include "engine/step_fields.h"
#include "google/protobuf/message.h"
#include "lockstep/program.pb.h"

namespace lockstep {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// ---- Configuration ----

// 0 and values left out are the default; more than the maximum is the maximum.
struct ConfigNumber {
  uint64_t (*get)(const proto::Config& message);
  void (*set)(proto::Config* message, uint64_t value);
  void (*store)(Config* config, uint64_t value);
  uint64_t (*load)(const Config& config);
  uint64_t maximum;
};

#define LOCKSTEP_CONFIG_NUMBER(field, maximum)                                 \
  {                                                                            \
    [](const proto::Config& message) -> uint64_t { return message.field(); },  \
        [](proto::Config* message, uint64_t value) {                           \
          message->set_##field(                                                \
              static_cast<decltype(message->field())>(value));                 \
        },                                                                     \
        [](Config* config, uint64_t value) {                                   \
          config->field = static_cast<decltype(config->field)>(value);         \
        },                                                                     \
        [](const Config& config) -> uint64_t { return config.field; }, maximum \
  }

constexpr ConfigNumber kConfigNumbers[] = {
    LOCKSTEP_CONFIG_NUMBER(arena_pages, uint64_t{1} << 32),
    LOCKSTEP_CONFIG_NUMBER(memory_pages, uint64_t{1} << 24),
    LOCKSTEP_CONFIG_NUMBER(zones, kMaxZones),
    LOCKSTEP_CONFIG_NUMBER(cpus, kMaxCpus),
    LOCKSTEP_CONFIG_NUMBER(hpage_pmd_order, 9),
    LOCKSTEP_CONFIG_NUMBER(max_map_count, std::numeric_limits<uint32_t>::max()),
    LOCKSTEP_CONFIG_NUMBER(image_pages, uint64_t{1} << 32),
    LOCKSTEP_CONFIG_NUMBER(image_lockable_pages, uint64_t{1} << 20),
    LOCKSTEP_CONFIG_NUMBER(nr_hugepages, uint64_t{1} << 16),
};
#undef LOCKSTEP_CONFIG_NUMBER

void NumbersFromProto(const proto::Config& message, Config* config) {
  for (const ConfigNumber& number : kConfigNumbers) {
    const uint64_t value = number.get(message);
    if (value != 0) number.store(config, std::min(value, number.maximum));
  }
  if (message.has_memlock_limit()) {
    config->memlock_limit = message.memlock_limit();
  }
  if (message.has_file_size()) config->file_size = message.file_size();
  if (message.has_stack_guard_gap()) {
    config->stack_guard_gap = message.stack_guard_gap();
  }
  config->uid = static_cast<uint8_t>(message.uid() % kUsers);
  config->cap_ipc_lock = message.cap_ipc_lock();
  config->protection_keys = message.protection_keys();
  config->transparent_hugepage = static_cast<TransparentHugepage>(
      std::clamp<int>(message.transparent_hugepage(), proto::Config::NEVER,
                      proto::Config::ALWAYS));
}

bool ConfigFromProto(const proto::Config& message, Config* config,
                     ProgramProblem* problem) {
  if (!message.kernel().empty()) {
    absl::StatusOr<const Profile*> profile = FindProfile(message.kernel());
    if (!profile.ok()) {
      *problem = {std::string(profile.status().message()),
                  {{"config"}, {"kernel"}}};
      return false;
    }
    config->SetProfile(**profile);
  }
  absl::StatusOr<DefectSet> defects =
      ParseDefects(*config->profile, message.defects());
  if (!defects.ok()) {
    *problem = {std::string(defects.status().message()),
                {{"config"}, {"defects"}}};
    return false;
  }
  config->defects = *defects;
  NumbersFromProto(message, config);
  return true;
}

void ConfigToProto(const Config& config, proto::Config* message) {
  const Config defaults;
  message->set_kernel(std::string(config.profile->name));
  message->set_defects(FormatDefects(*config.profile, config.defects));
  for (const ConfigNumber& number : kConfigNumbers) {
    const uint64_t value = number.load(config);
    if (value != number.load(defaults)) number.set(message, value);
  }
  if (config.memlock_limit != defaults.memlock_limit) {
    message->set_memlock_limit(config.memlock_limit);
  }
  if (config.file_size != defaults.file_size) {
    message->set_file_size(config.file_size);
  }
  if (config.stack_guard_gap) {
    message->set_stack_guard_gap(*config.stack_guard_gap);
  }
  message->set_uid(config.uid);
  message->set_cap_ipc_lock(config.cap_ipc_lock);
  message->set_protection_keys(config.protection_keys);
  message->set_transparent_hugepage(
      static_cast<proto::Config::TransparentHugepage>(
          config.transparent_hugepage));
}

// ---- Steps ----

Address AddressFromProto(const proto::Address& message) {
  switch (message.base_case()) {
    case proto::Address::kHeapPage:
      return Address::Heap({message.heap_page()}, message.offset());
    case proto::Address::kRaw:
      return Address::Raw(message.raw() + message.offset());
    case proto::Address::kPage:
    case proto::Address::BASE_NOT_SET:
      break;
  }
  return Address::Arena({message.page()}, message.offset());
}

void AddressToProto(const Address& address, proto::Address* message) {
  if (address.base == Address::Base::kRaw) {
    message->set_raw(address.value);
    return;
  }
  // Just below the base reads better as page 0 and a negative offset.
  const bool below = static_cast<int64_t>(address.value) < 0;
  const uint64_t page = below ? 0 : PageOf(address.value).n;
  message->set_offset(below ? address.value : OffsetInPage(address.value));
  if (address.base == Address::Base::kHeap) {
    message->set_heap_page(page);
  } else {
    message->set_page(page);
  }
}

// The number in a field that holds no address; flag lists are or-ed together.
uint64_t GetNumber(const Message& message, const FieldDescriptor* field) {
  const Reflection& reflection = *message.GetReflection();
  if (field->is_repeated()) {
    uint32_t bits = 0;
    const int size = reflection.FieldSize(message, field);
    for (int i = 0; i < size; ++i) {
      bits |= static_cast<uint32_t>(
          reflection.GetRepeatedEnumValue(message, field, i));
    }
    return bits;
  }
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_ENUM:
      return static_cast<uint32_t>(reflection.GetEnumValue(message, field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.GetBool(message, field) ? 1 : 0;
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection.GetUInt32(message, field);
    default:
      return reflection.GetUInt64(message, field);
  }
}

void SetNumber(Message* message, const FieldDescriptor* field, uint64_t value) {
  const Reflection& reflection = *message->GetReflection();
  if (field->is_repeated()) {
    uint32_t rest = static_cast<uint32_t>(value);
    for (const auto* bit : NamedBits(*field->enum_type())) {
      const uint32_t number = static_cast<uint32_t>(bit->number());
      if ((rest & number) == 0) continue;
      reflection.AddEnumValue(message, field, bit->number());
      rest &= ~number;
    }
    if (rest != 0) {
      reflection.AddEnumValue(message, field, static_cast<int>(rest));
    }
    return;
  }
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_ENUM:
      return reflection.SetEnumValue(message, field, static_cast<int>(value));
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.SetBool(message, field, value != 0);
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection.SetUInt32(message, field, static_cast<uint32_t>(value));
    default:
      return reflection.SetUInt64(message, field, value);
  }
}

void FieldFromProto(const Message& message, const StepField& field,
                    const Config& config, Step* step) {
  const Reflection& reflection = *message.GetReflection();
  switch (field.target) {
    case Field::kAddr:
    case Field::kNewAddr: {
      const auto& address = static_cast<const proto::Address&>(
          reflection.GetMessage(message, field.field));
      (field.target == Field::kAddr ? step->addr : step->new_addr) =
          AddressFromProto(address);
      // A page that is given at all narrows reclaim to it.
      if (step->op == Op::kReclaim) {
        step->value = reflection.HasField(message, field.field) ? 1 : 0;
      }
      return;
    }
    case Field::kLength:
      step->length = GetNumber(message, field.field);
      return;
    case Field::kLength2:
      step->length2 = GetNumber(message, field.field);
      return;
    case Field::kProt:
      step->prot = static_cast<uint32_t>(GetNumber(message, field.field));
      return;
    case Field::kFlags:
      step->flags = static_cast<uint32_t>(GetNumber(message, field.field));
      return;
    case Field::kSlot:
      step->slot = static_cast<uint8_t>(GetNumber(message, field.field) %
                                        SlotCount(field.slots, config));
      return;
    case Field::kValue:
      step->value = ValueFromNumber(step->op, GetNumber(message, field.field));
      return;
  }
}

void FieldToProto(const Step& step, const StepField& field, Message* message) {
  if (field.target != Field::kAddr && field.target != Field::kNewAddr) {
    return SetNumber(message, field.field, NumberIn(step, field.target));
  }
  if (const Address* given = GivenAddress(step, field.target)) {
    AddressToProto(*given, static_cast<proto::Address*>(
                               message->GetReflection()->MutableMessage(
                                   message, field.field)));
  }
}

// The alternative of a oneof, `call` or `action`, as a step of that op.
Step CallFromProto(const Message& owner, const FieldDescriptor* alternative,
                   Op op, const Config& config) {
  Step step;
  step.op = op;
  const Message& call = owner.GetReflection()->GetMessage(owner, alternative);
  for (const StepField& field : MessageOf(op).fields) {
    FieldFromProto(call, field, config, &step);
  }
  return step;
}

void CallToProto(const Step& step, const FieldDescriptor* alternative,
                 Message* owner) {
  Message* call = owner->GetReflection()->MutableMessage(owner, alternative);
  for (const StepField& field : MessageOf(step.op).fields) {
    FieldToProto(step, field, call);
  }
}

uint16_t Saturate16(uint32_t value) {
  return static_cast<uint16_t>(
      std::min<uint32_t>(value, std::numeric_limits<uint16_t>::max()));
}

// Nothing if it can never take place: no action, or a point that no call has.
// That is not an error, since a point may belong to a kernel that came later.
std::optional<During> DuringFromProto(const proto::During& message,
                                      const Config& config) {
  const std::optional<Point> point = PointFromName(message.point());
  const Op op = OpOfAction(message.action_case());
  if (!point || op == Op::kNone) return std::nullopt;
  During during =
      AsAction(CallFromProto(message, MessageOf(op).action, op, config));
  during.point = *point;
  during.task = static_cast<uint8_t>(message.task() % kTaskSlots);
  during.nth = Saturate16(message.nth());
  return during;
}

void DuringToProto(const During& during, proto::During* message) {
  message->set_point(std::string(InfoOf(during.point).name));
  message->set_nth(during.nth);
  message->set_task(during.task);
  const FieldDescriptor* alternative = MessageOf(during.op).action;
  if (alternative == nullptr) return;
  CallToProto(AsStep(during), alternative, message);
}

Step StepFromProto(const proto::Step& message, const Config& config) {
  const Op op = OpOfCall(message.call_case());
  Step step;
  if (op != Op::kNone) {
    step = CallFromProto(message, MessageOf(op).call, op, config);
  }
  step.task = static_cast<uint8_t>(message.task() % kTaskSlots);
  // Those after the first two are not reached, whatever the first two are.
  for (int i = 0; i < std::min(message.during_size(), kMaxDuring); ++i) {
    if (std::optional<During> during =
            DuringFromProto(message.during(i), config)) {
      step.Add(*during);
    }
  }
  return step;
}

void StepToProto(const Step& step, proto::Step* message) {
  message->set_task(step.task);
  for (const During& during : step.interleavings()) {
    DuringToProto(during, message->add_during());
  }
  if (step.op != Op::kNone) {
    CallToProto(step, MessageOf(step.op).call, message);
  }
}

// ---- Expectations ----

template <typename T>
bool Problem(int step, int expect, absl::string_view field, int index,
             T&& message, ProgramProblem* problem) {
  *problem = {std::forward<T>(message),
              {{"steps", step}, {"expect", expect}, {field, index}}};
  return false;
}

bool ExpectationFromProto(const proto::Expect& message, int step, int index,
                          Expectation* expectation, ProgramProblem* problem) {
  expectation->step = static_cast<size_t>(step);
  for (int i = 0; i < message.kernel_size(); ++i) {
    absl::StatusOr<const Profile*> profile = FindProfile(message.kernel(i));
    if (!profile.ok()) {
      return Problem(step, index, "kernel", i,
                     std::string(profile.status().message()), problem);
    }
    expectation->kernels.push_back(message.kernel(i));
  }
  if (!message.outcome().empty() && !OutcomeFromName(message.outcome())) {
    return Problem(step, index, "outcome", -1,
                   absl::StrCat("unknown outcome \"",
                                absl::Utf8SafeCEscape(message.outcome()),
                                "\", expected OK, an errno's name such as "
                                "ENOMEM, SIGSEGV, SIGBUS, SKIPPED or "
                                "UNSUPPORTED"),
                   problem);
  }
  expectation->outcome = message.outcome();
  if (message.has_locked_vm()) expectation->locked_vm = message.locked_vm();
  if (message.has_map_count()) expectation->map_count = message.map_count();
  for (const proto::Expect::Pages& pages : message.pages()) {
    Expectation::PageRange& range = expectation->pages.emplace_back();
    range.page = {pages.page()};
    if (pages.count() != 0) range.count = {pages.count()};
    if (pages.has_mapped()) range.mapped = pages.mapped();
    if (pages.has_locked()) range.locked = pages.locked();
    if (pages.has_onfault()) range.onfault = pages.onfault();
    if (pages.has_resident()) range.resident = pages.resident();
    if (pages.has_mlocked()) range.mlocked = pages.mlocked();
  }
  for (int i = 0; i < message.counters_size(); ++i) {
    const proto::Expect::Counter& counter = message.counters(i);
    if (FindNonUtf8(counter.name()) != absl::string_view::npos) {
      return Problem(step, index, "counters", i, "the name is not UTF-8",
                     problem);
    }
    expectation->counters.push_back({counter.name(), counter.value()});
  }
  return true;
}

void ExpectationToProto(const Expectation& expectation,
                        proto::Expect* message) {
  for (const std::string& kernel : expectation.kernels) {
    message->add_kernel(kernel);
  }
  message->set_outcome(expectation.outcome);
  if (expectation.locked_vm) message->set_locked_vm(*expectation.locked_vm);
  if (expectation.map_count) message->set_map_count(*expectation.map_count);
  for (const Expectation::PageRange& range : expectation.pages) {
    proto::Expect::Pages* pages = message->add_pages();
    pages->set_page(range.page.n);
    if (range.count != Pages{1}) pages->set_count(range.count.n);
    if (range.mapped) pages->set_mapped(*range.mapped);
    if (range.locked) pages->set_locked(*range.locked);
    if (range.onfault) pages->set_onfault(*range.onfault);
    if (range.resident) pages->set_resident(*range.resident);
    if (range.mlocked) pages->set_mlocked(*range.mlocked);
  }
  for (const Expectation::Counter& counter : expectation.counters) {
    proto::Expect::Counter* added = message->add_counters();
    added->set_name(counter.name);
    added->set_value(counter.value);
  }
}

}  // namespace

std::string ProgramProblem::Path() const {
  std::string path;
  for (const Part& part : where) {
    absl::StrAppend(&path, path.empty() ? "" : ".", part.field);
    if (part.index >= 0) absl::StrAppend(&path, "[", part.index, "]");
  }
  return path;
}

bool ProgramFromProto(const proto::Program& message, Program* program,
                      ProgramProblem* problem) {
  *program = Program();
  if (static_cast<size_t>(message.steps_size()) > kMaxSteps) {
    *problem = {absl::StrCat("more than ", kMaxSteps, " steps"),
                {{"steps", static_cast<int>(kMaxSteps)}}};
    return false;
  }
  if (FindNonUtf8(message.description()) != absl::string_view::npos) {
    *problem = {"not UTF-8", {{"description"}}};
    return false;
  }
  program->description = message.description();
  if (!ConfigFromProto(message.config(), &program->config, problem)) {
    return false;
  }
  program->steps.reserve(message.steps_size());
  for (int i = 0; i < message.steps_size(); ++i) {
    const proto::Step& step = message.steps(i);
    program->steps.push_back(StepFromProto(step, program->config));
    for (int j = 0; j < step.expect_size(); ++j) {
      if (!ExpectationFromProto(step.expect(j), i, j,
                                &program->expectations.emplace_back(),
                                problem)) {
        return false;
      }
    }
  }
  return true;
}

absl::StatusOr<Program> ProgramFromProto(const proto::Program& message) {
  Program program;
  ProgramProblem problem;
  if (!ProgramFromProto(message, &program, &problem)) {
    return absl::InvalidArgumentError(
        absl::StrCat(problem.Path(), ": ", problem.message));
  }
  return program;
}

proto::Program ProgramToProto(const Program& program) {
  proto::Program message;
  message.set_description(program.description);
  ConfigToProto(program.config, message.mutable_config());
  for (const Step& step : program.steps) {
    StepToProto(step, message.add_steps());
  }
  for (const Expectation& expectation : program.expectations) {
    if (expectation.step >= program.steps.size()) continue;
    ExpectationToProto(
        expectation, message.mutable_steps(static_cast<int>(expectation.step))
                         ->add_expect());
  }
  return message;
}

size_t FindNonUtf8(absl::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const auto byte = [&text](size_t at) {
      return static_cast<unsigned char>(text[at]);
    };
    const unsigned char lead = byte(i);
    const size_t length = lead < 0x80                     ? 1
                          : (lead >= 0xc2 && lead < 0xe0) ? 2
                          : (lead >> 4) == 0xe            ? 3
                          : (lead >= 0xf0 && lead < 0xf5) ? 4
                                                          : 0;
    if (length == 0 || i + length > text.size()) return i;
    for (size_t k = 1; k < length; ++k) {
      if ((byte(i + k) & 0xc0) != 0x80) return i;
    }
    // Overlong forms, surrogates and what lies above U+10FFFF.
    if ((lead == 0xe0 && byte(i + 1) < 0xa0) ||
        (lead == 0xed && byte(i + 1) >= 0xa0) ||
        (lead == 0xf0 && byte(i + 1) < 0x90) ||
        (lead == 0xf4 && byte(i + 1) >= 0x90)) {
      return i;
    }
    i += length;
  }
  return absl::string_view::npos;
}

}  // namespace lockstep
