// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/repro_c.h"

#include <array>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "engine/uapi.h"
#include "props/agreement.h"
#include "props/contracts.h"
#include "tools/repro_c_calls.h"
#include "tools/repro_c_helpers.h"

namespace lockstep {
namespace {

// Residency is shown after every step as long as it takes few lines.
constexpr size_t kFewSpans = 4;
// Rounds of a deterministic program, each of which must leave NR_MLOCK as it
// was, and of a race, which mostly does.
constexpr int kRounds = 32;
constexpr int kRaceRounds = 300;
constexpr int kRaceDrift = 8;

bool IsInvariant(absl::string_view property) {
  for (const PropertyInfo& info : AllProperties()) {
    if (info.name == property) return info.kind == PropertyKind::kInvariant;
  }
  return false;
}

bool IsAboutMlocked(absl::string_view property) {
  return property == contracts::kMlockMlocked || property == kAgreeMlocked;
}

absl::string_view StatementOf(absl::string_view property) {
  for (const PropertyInfo& info : AllProperties()) {
    if (info.name == property) return info.statement;
  }
  return "";
}

// The call compares something with RLIMIT_MEMLOCK.
bool ComparesWithLimit(const Step& step) {
  switch (step.op) {
    case Op::kMmap:
    case Op::kMlock:
    case Op::kMlock2:
    case Op::kMremap:
    case Op::kBrk:
      return true;
    case Op::kMlockall:
      return (step.flags & uapi::kMclCurrent) != 0;
    default:
      return false;
  }
}

// Puts one reproducer together.
class Writer {
 public:
  Writer(const Program& program, const DocumentedProgram& documented,
         const std::optional<Violation>& violation, absl::string_view shown_by)
      : program_(program),
        documented_(documented),
        violation_(violation),
        shown_by_(shown_by) {
    for (const DocumentedStep& step : documented_.steps) {
      if (!step.left_out.empty()) continue;
      several_tasks_ |= step.step.task % kTaskSlots != 0 ||
                        step.step.op == Op::kFork || step.step.op == Op::kExec;
      locks_image_ |= step.step.op == Op::kMlockall;
    }
    race_ = documented_.needs_environment;
    rounds_ = race_ || (violation_ && IsInvariant(violation_->property));
  }

  std::string Write() {
    std::vector<std::string> obstacles = Obstacles();
    if (!obstacles.empty()) return WriteObstacles(obstacles);
    const std::string steps = several_tasks_ ? StepsOfTasks() : StepsInOrder();
    const std::string set_up = SetUp();
    const std::string main = Main();
    std::string text = absl::StrCat(Header(), Includes());
    for (const CHelperText& helper : AllCHelpers()) {
      if ((WithNeeds(helpers_) & helper.helper) == 0) continue;
      text += absl::StrReplaceAll(helper.code, Replacements());
    }
    absl::StrAppend(&text, set_up, steps, main);
    return text;
  }

 private:
  std::vector<std::string> Obstacles() const {
    std::vector<std::string> obstacles = documented_.obstacles;
    bool execs = false, keeps = false;
    for (const DocumentedStep& step : documented_.steps) {
      if (!step.left_out.empty()) continue;
      execs |= step.step.op == Op::kExec;
      keeps |= step.step.op == Op::kSetuid || step.step.op == Op::kShmget;
    }
    if (execs && (keeps || program_.config.uid % kUsers != 0)) {
      obstacles.push_back("it has exec beside segments or other users");
    }
    if (violation_ && violation_->step < documented_.steps.size()) {
      const DocumentedStep& last = documented_.steps[violation_->step];
      if (!last.left_out.empty() && !IsEnvironment(last.step.op)) {
        obstacles.push_back(absl::StrCat(
            "step ", last.index, " is what it is about, and ", last.left_out));
      }
    }
    return obstacles;
  }

  std::string Header() const {
    std::string text = "/*\n * A reproducer written by Lockstep.\n";
    const auto line = [&text](absl::string_view s) {
      for (absl::string_view part : absl::StrSplit(CComment(s), '\n')) {
        absl::StrAppend(&text, part.empty() ? " *" : " * ", part, "\n");
      }
    };
    line("");
    if (violation_) {
      line(absl::StrCat("Property ", violation_->property, ", step ",
                        violation_->step, ":"));
      line(absl::StrCat("  ", StatementOf(violation_->property)));
      line(absl::StrCat("  expected ", violation_->expected, ","));
      line(absl::StrCat(
          "  seen ", violation_->seen, " on ",
          shown_by_.empty()
              ? absl::StrCat("the model of ", program_.config.profile->name)
              : shown_by_,
          "."));
      line("");
    } else if (!program_.description.empty()) {
      line(program_.description);
      line("");
    }
    line("The program:");
    for (size_t i = 0; i < program_.steps.size(); ++i) {
      line(absl::StrCat("  ", i, ": ", DebugString(program_.steps[i])));
    }
    line("");
    if (race_) {
      line(
          "What the rest of the machine does in it (environment actions and\n"
          "interleavings) cannot be forced from user space: this is a race "
          "that\n"
          "only the model shows every time. Here the calls are repeated while\n"
          "their pages are taken off the LRU lists from outside, and NR_MLOCK\n"
          "must come back to where it was.");
      line("");
    }
    line(absl::StrCat(
        "What is expected is the documented behaviour, that of ",
        documented_.profile->name,
        " without\nits defects; a step of several outcomes is one that "
        "kernels differ in. Exit\nstatus: 0 it behaves, 1 it deviates, 4 it "
        "cannot be tried here."));
    line("Build it with: cc -o repro repro.c");
    return text + " */\n";
  }

  std::string WriteObstacles(const std::vector<std::string>& obstacles) const {
    std::string text = absl::StrCat(Header(),
                                    "#include <stdio.h>\n\n"
                                    "int main(void)\n{\n");
    const std::set<std::string> once(obstacles.begin(), obstacles.end());
    for (const std::string& obstacle : once) {
      absl::StrAppend(&text, "\tputs(",
                      CString(absl::StrCat("cannot run here: ", obstacle)),
                      ");\n");
    }
    return absl::StrCat(text, "\treturn 4;\n}\n");
  }

  std::string Includes() const {
    std::set<std::string> names = {"sys/wait.h"};
    for (const CHelperText& helper : AllCHelpers()) {
      if ((WithNeeds(helpers_) & helper.helper) == 0) continue;
      for (absl::string_view name :
           absl::StrSplit(helper.includes, ' ', absl::SkipEmpty())) {
        names.emplace(name);
      }
    }
    if (several_tasks_) names.insert({"signal.h", "stdlib.h"});
    if (rounds_) names.insert("stdlib.h");
    if (DisablesThp()) names.insert("sys/prctl.h");
    std::string text = "#define _GNU_SOURCE\n";
    for (const std::string& name : names) {
      absl::StrAppend(&text, "#include <", name, ">\n");
    }
    return text;
  }

  // Words that the helpers leave open.
  std::vector<std::pair<std::string, std::string>> Replacements() const {
    const uint64_t pages = std::min<uint64_t>(program_.config.arena_pages, 64);
    return {
        {" - LOCKED_IMAGE", locks_image_ ? " - locked_image()" : ""},
        {"IS_PROGRAM(start)",
         (helpers_ & kCHeap) != 0
             ? "((start >= ARENA && start < ARENA + (1UL << 44)) ||\n"
               "\t\t\t\t(start >= heap_base && start < heap_base + (1UL << "
               "30)))"
             : "(start >= ARENA && start < ARENA + (1UL << 44))"},
        {"DISTURBED", absl::StrCat(pages)},
    };
  }

  bool DisablesThp() const {
    return program_.config.transparent_hugepage == TransparentHugepage::kNever;
  }

  // The process as the program finds it before step 0.
  std::string SetUp() {
    const Config& config = program_.config;
    std::string text = "\nstatic void set_up(void)\n{\n";
    absl::StrAppend(&text,
                    "\tif (sysconf(_SC_PAGESIZE) != PAGE)\n"
                    "\t\tcannot_run(\"pages are not of 4096 bytes\");\n");
    if (DisablesThp()) {
      absl::StrAppend(&text,
                      "\t/* Huge pages would change what is resident. */\n"
                      "\tprctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);\n");
    }
    if ((helpers_ & kCFiles) != 0) {
      absl::StrAppend(&text, "\tmake_files(", CNumber(config.file_size),
                      ");\n");
    }
    helpers_ |= kCLimit | kCCapability;
    absl::StrAppend(&text, "\tset_limit(", CNumber(config.memlock_limit),
                    ", 0);\n");
    if (config.uid % kUsers != 0) helpers_ |= kCUser;
    if ((helpers_ & kCUser) != 0) {
      absl::StrAppend(&text, "\tbecome_user(", config.uid % kUsers, ", ",
                      config.cap_ipc_lock ? 1 : 0, ");\n");
    } else {
      absl::StrAppend(&text, "\tset_capability(", config.cap_ipc_lock ? 1 : 0,
                      ");\n");
    }
    if ((helpers_ & kCHeap) != 0) absl::StrAppend(&text, "\tfind_heap();\n");
    return text + "}\n";
  }

  // The lines of one step.
  std::string Lines(const DocumentedStep& documented) {
    const Step& step = documented.step;
    std::string text = absl::StrCat("\t/* ", documented.index, ": ",
                                    CComment(DebugString(step)), " */\n");
    if (!documented.left_out.empty()) {
      return absl::StrCat("\t/* ", documented.index, ": ",
                          CComment(DebugString(step)),
                          "\n\t * left out: ", documented.left_out, ". */\n");
    }
    if (locks_image_ && ComparesWithLimit(step) &&
        !documented.before.cap_ipc_lock &&
        documented.before.memlock_limit != 0 &&
        documented.before.memlock_limit != kRlimInfinity) {
      const bool whole = step.op == Op::kMlockall;
      helpers_ |= kCLimit | (whole ? kCImageSize : kCImage);
      absl::StrAppend(
          &text, "\tset_limit(", CNumber(documented.before.memlock_limit), ", ",
          whole
              ? absl::StrCat("image_pages(", documented.before.total_vm.n, ")")
              : "locked_image()",
          ");\n");
    }
    absl::StrAppend(&text, CallLines(documented));
    if (step.op != Op::kExit) {
      absl::StrAppend(&text, StateLines(documented), MlockedLines(documented));
    }
    return text;
  }

  std::string CallLines(const DocumentedStep& documented) {
    const Step& step = documented.step;
    switch (step.op) {
      case Op::kSetrlimit:
        helpers_ |= kCLimit;
        return absl::StrCat("\tset_limit(", CNumber(step.length), ", 0);\n");
      case Op::kSetcap:
        helpers_ |= kCCapability;
        return absl::StrCat("\tset_capability(", step.value != 0, ");\n");
      case Op::kSetuid:
        helpers_ |= kCUser;
        return absl::StrCat("\tbecome_user(", step.slot % kUsers, ", ",
                            documented.cap_ipc_lock ? 1 : 0, ");\n");
      case Op::kExit:
        return several_tasks_ ? absl::StrCat("\tanswer(", documented.index,
                                             ");\n\t_exit(BEHAVES);\n")
                              : "\tleave(BEHAVES);\n";
      case Op::kExec:
        helpers_ |= kCExec;
        return absl::StrCat("\texec_task(", step.task % kTaskSlots, ", ",
                            documented.index, ", ",
                            documented.cap_ipc_lock ? 1 : 0, ");\n");
      case Op::kFork:
        helpers_ |= kCFork;
        return ExpectLine(
            documented,
            absl::StrCat("fork_task(", step.slot % kTaskSlots, ")"));
      default: {
        const CCall call = CCallOf(step);
        helpers_ |= call.helpers;
        return ExpectLine(documented, call.code);
      }
    }
  }

  std::string ExpectLine(const DocumentedStep& documented,
                         absl::string_view code) {
    helpers_ |= kCExpect;
    return absl::StrCat("\texpect(", documented.index, ", ",
                        CString(DebugString(documented.step)), ",\n\t       ",
                        code, ", ",
                        absl::StrJoin(documented.outcomes, ", ",
                                      [](std::string* out, const Outcome& one) {
                                        absl::StrAppend(out, COutcome(one));
                                      }),
                        ");\n");
  }

  // PG_mlocked takes root to see, so only where it is what is violated.
  std::string MlockedLines(const DocumentedStep& documented) {
    std::string text;
    if (!violation_ || !IsAboutMlocked(violation_->property) ||
        violation_->step != documented.index) {
      return text;
    }
    for (const PageSpan& span : documented.mlocked) {
      helpers_ |= kCMlocked;
      absl::StrAppend(&text, "\tmlocked(", documented.index, ", ",
                      CAddress(AddressOf(span.start)), ", ",
                      (span.end - span.start).n, ");\n");
    }
    return text;
  }

  std::string StateLines(const DocumentedStep& documented) {
    const Step& step = documented.step;
    if (step.op == Op::kSetrlimit || step.op == Op::kSetcap ||
        step.op == Op::kSetuid || step.op == Op::kExec) {
      return "";
    }
    std::string text;
    if (documented.locked_vm &&
        !(locks_image_ && documented.locked_elsewhere)) {
      helpers_ |= kCLocked | (locks_image_ ? kCImage : uint32_t{0});
      absl::StrAppend(&text, "\tlocked(", documented.index, ", ",
                      documented.locked_vm->n, ");\n");
    }
    Spans& shown = shown_[step.task % kTaskSlots];
    const Spans now = {documented.resident, documented.absent};
    const size_t count = documented.resident.size() + documented.absent.size();
    if (count > kFewSpans && shown == now) return text;
    shown = now;
    if (count != 0) helpers_ |= kCResident;
    const auto show = [&](const PageSpan& span, int resident) {
      absl::StrAppend(&text, "\tresidency(", documented.index, ", ",
                      CAddress(AddressOf(span.start)), ", ",
                      (span.end - span.start).n, ", ", resident, ");\n");
    };
    for (const PageSpan& span : documented.resident) show(span, 1);
    for (const PageSpan& span : documented.absent) show(span, 0);
    return text;
  }

  std::string StepsInOrder() {
    helpers_ |= kCBase | kCOneTask;
    std::string text = "\nstatic void program(void)\n{\n";
    for (size_t i = 0; i < documented_.steps.size(); ++i) {
      absl::StrAppend(&text, i == 0 ? "" : "\n", Lines(documented_.steps[i]));
    }
    return text + "}\n";
  }

  std::string StepsOfTasks() {
    helpers_ |= kCBase | kCTasks;
    std::string text =
        "\n/* Runs in the process of the step's task. */\n"
        "static void step(int number)\n{\n\tswitch (number) {\n";
    for (const DocumentedStep& documented : documented_.steps) {
      if (!documented.left_out.empty()) {
        absl::StrAppend(&text, Lines(documented));
        continue;
      }
      absl::StrAppend(&text, "\tcase ", documented.index, ":\n",
                      Lines(documented), "\t\tbreak;\n");
    }
    absl::StrAppend(&text, "\t}\n}\n\nstatic void program(void)\n{\n");
    absl::StrAppend(&text,
                    "\tmake_pipes();\n"
                    "\tif (fork() == 0) {\n"
                    "\t\tset_up();\n"
                    "\t\tserve(0);\n"
                    "\t}\n");
    for (const DocumentedStep& documented : documented_.steps) {
      if (!documented.left_out.empty()) continue;
      absl::StrAppend(&text, "\ttell(", documented.step.task % kTaskSlots, ", ",
                      documented.index, ");\n");
    }
    return text + "\t_exit(BEHAVES);\n}\n";
  }

  // Runs the program once in a process (or a group of them) of its own.
  std::string RunOnce() {
    std::string text = "\nstatic int run_once(void)\n{\n\tint status = 0;\n";
    absl::StrAppend(&text, "\tpid_t pid = fork();\n\n\tif (pid == 0) {\n");
    if (several_tasks_) {
      absl::StrAppend(&text, "\t\tsetpgid(0, 0);\n\t\tprogram();\n");
    } else {
      absl::StrAppend(&text,
                      "\t\tset_up();\n\t\tprogram();\n\t\tleave(BEHAVES);\n");
    }
    absl::StrAppend(&text, "\t}\n");
    if (race_) {
      helpers_ |= kCDisturb;
      absl::StrAppend(&text,
                      "\twhile (waitpid(pid, &status, WNOHANG) == 0)\n"
                      "\t\tdisturb(pid);\n");
    } else {
      absl::StrAppend(&text, "\twaitpid(pid, &status, 0);\n");
    }
    if (several_tasks_) {
      absl::StrAppend(&text,
                      "\t/* Tasks that are left wait for a command. */\n"
                      "\tkill(-pid, SIGKILL);\n");
    }
    if ((helpers_ & kCShm) != 0)
      absl::StrAppend(&text, "\tremove_segments();\n");
    absl::StrAppend(&text,
                    "\tif (WIFSIGNALED(status)) {\n"
                    "\t\tdprintf(1, \"killed by signal %d\\n\",\n"
                    "\t\t\tWTERMSIG(status));\n"
                    "\t\treturn DEVIATES;\n\t}\n"
                    "\treturn WEXITSTATUS(status);\n}\n");
    return text;
  }

  std::string Rounds() {
    helpers_ |= kCCounter;
    const int rounds = race_ ? kRaceRounds : kRounds;
    return absl::StrCat(
        "\n/* Each round ends with every process of it gone: whatever "
        "NR_MLOCK\n"
        " * keeps is lost. Others lock memory too, so it must happen three\n"
        " * times in a row. */\n"
        "static int counter_drifts(void)\n{\n"
        "\tint attempt, round;\n\tlong before, drift = 0;\n\n"
        "\tfor (attempt = 0; attempt < 3; attempt++) {\n"
        "\t\tbefore = nr_mlock();\n"
        "\t\tfor (round = 0; round < ",
        rounds,
        "; round++)\n"
        "\t\t\trun_once();\n"
        "\t\tdrift = nr_mlock() - before;\n"
        "\t\tif (labs(drift) < ",
        race_ ? kRaceDrift : kRounds,
        ")\n"
        "\t\t\treturn 0;\n"
        "\t}\n"
        "\tdprintf(1, \"NR_MLOCK moved by %ld in ",
        rounds,
        " rounds\\n\", drift);\n"
        "\treturn 1;\n}\n");
  }

  std::string Main() {
    std::string text = RunOnce();
    if (rounds_) text += Rounds();
    const bool execs = (helpers_ & kCExec) != 0;
    absl::StrAppend(&text,
                    execs ? "\nint main(int argc, char **argv)\n{\n"
                          : "\nint main(void)\n{\n",
                    "\tint status;\n\n");
    if (execs) {
      absl::StrAppend(&text,
                      "\t/* A task after its exec. */\n"
                      "\tif (argc == 4) {\n",
                      (helpers_ & kCHeap) != 0 ? "\t\tfind_heap();\n" : "",
                      "\t\tset_capability(atoi(argv[3]));\n"
                      "\t\tanswer(atoi(argv[2]));\n"
                      "\t\tserve(atoi(argv[1]));\n\t}\n");
    }
    if ((helpers_ & kCShm) != 0) {
      absl::StrAppend(&text,
                      "\tsegment = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,\n"
                      "\t\t       MAP_SHARED | MAP_ANONYMOUS, -1, 0);\n"
                      "\tif (segment == MAP_FAILED)\n\t\treturn CANNOT_RUN;\n"
                      "\tsegment[0] = segment[1] = segment[2] = segment[3] = "
                      "-1;\n");
    }
    absl::StrAppend(&text, "\tstatus = run_once();\n");
    if (rounds_) {
      absl::StrAppend(&text,
                      "\tif (status == BEHAVES && counter_drifts())\n"
                      "\t\tstatus = DEVIATES;\n");
    }
    absl::StrAppend(&text,
                    "\tif (status == BEHAVES)\n\t\tdprintf(1, \"%s\\n\", ",
                    race_ ? "\"not seen here: a race that user space cannot "
                            "force\""
                          : "\"behaves as documented\"",
                    ");\n\treturn status;\n}\n");
    return text;
  }

  struct Spans {
    std::vector<PageSpan> resident, absent;
    bool operator==(const Spans&) const = default;
  };

  const Program& program_;
  const DocumentedProgram& documented_;
  const std::optional<Violation>& violation_;
  const std::string shown_by_;  // a real kernel; empty: the model
  bool several_tasks_ = false;
  bool locks_image_ = false;  // mlockall locks the reproducer itself too
  bool race_ = false;
  bool rounds_ = false;  // NR_MLOCK is compared over many rounds
  uint32_t helpers_ = 0;
  // What was said last about the residency of each task's pages.
  std::array<Spans, kTaskSlots> shown_;
};

}  // namespace

std::string WriteReproducerC(const Program& program,
                             const DocumentedProgram& documented,
                             const std::optional<Violation>& violation,
                             absl::string_view shown_by) {
  return Writer(program, documented, violation, shown_by).Write();
}

}  // namespace lockstep
