# Copyright 2026 The Lockstep Authors
# SPDX-License-Identifier: Apache-2.0

# What an infrastructure wants beside the targets. Included behind all of them.
add_library(lockstep_target_info STATIC dictionary.cc target_files.cc)
target_link_libraries(lockstep_target_info
  PUBLIC lockstep_engine absl::span absl::statusor absl::strings
  PRIVATE lockstep_fuzzing lockstep_props lockstep_reference lockstep_proto absl::str_format)
add_executable(lockstep_target_files target_files_main.cc)
target_link_libraries(lockstep_target_files PRIVATE
  lockstep_target_info lockstep_engine absl::str_format)

get_property(targets DIRECTORY PROPERTY BUILDSYSTEM_TARGETS)
list(FILTER targets INCLUDE REGEX "^lockstep_.*_fuzzer$")
# Controls of tests.
list(REMOVE_ITEM targets lockstep_profiles_without_table_fuzzer lockstep_lossy_text_fuzzer
     lockstep_lossy_binary_fuzzer lockstep_strict_trace_fuzzer)
list(JOIN targets "," targets)
lockstep_test(target_files_test target_files_test.cc
              LIBS lockstep_target_info lockstep_props lockstep_reference lockstep_engine)
if(BUILD_TESTING)
  target_compile_definitions(target_files_test PRIVATE LOCKSTEP_TARGETS="${targets}")
endif()
