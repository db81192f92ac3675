// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/linux/kernel.h"
#include "engine/linux/trace.h"
#include "engine/linux/wire.h"
#include "engine/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

Program Parse(absl::string_view text) {
  absl::StatusOr<Program> program = ParseProgramText(text, "test");
  EXPECT_TRUE(program.ok()) << program.status();
  return *std::move(program);
}

TEST(HostKernelTest, RunsAProgramOfOneTask) {
  absl::StatusOr<std::unique_ptr<Kernel>> kernel = MakeHostKernel({});
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  for (const std::string& line : (*kernel)->limitations()) {
    std::cout << "limitation: " << line << "\n";
  }
  const Program program = Parse(R"pb(
    steps {
      mmap {
        addr { page: 2 }
        length: 16384
        prot: [ READ, WRITE ]
        flags: [ PRIVATE, FIXED, ANONYMOUS ]
      }
    }
    steps {
      mlock {
        addr { page: 2 }
        length: 8192
      }
    }
    steps {
      munlock {
        addr { page: 3 }
        length: 4096
      }
    }
    steps { fork { child: 1 } }
    steps {
      task: 1
      mlock {
        addr { page: 2 }
        length: 16384
      }
    }
    steps {
      task: 1
      exec {}
    }
    steps { fork { child: 2 share_vm: true } }
    steps {
      task: 2
      munlock {
        addr { page: 2 }
        length: 4096
      }
    }
    steps {
      task: 1
      exit {}
    }
  )pb");
  absl::StatusOr<std::vector<Trace>> traces = (*kernel)->Run({program});
  ASSERT_TRUE(traces.ok()) << traces.status();
  ASSERT_EQ(traces->size(), 1);
  const Trace& trace = traces->front();
  std::cout << "end " << int(trace.end) << " signal " << trace.signal
            << " image " << trace.image_lockable.n << "+" << trace.image_other.n
            << "\n";
  for (const auto& s : trace.steps) {
    std::cout << DebugString(s.outcome);
    for (const auto& t : s.tasks)
      if (t.state.exists)
        std::cout << " [" << t.state.locked_vm.n << " of " << t.state.total_vm.n
                  << " mm " << t.state.mm << "]";
    std::cout << "\n";
  }
}

}  // namespace
}  // namespace lockstep
