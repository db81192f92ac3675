// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/executor/result_buffer.h"

#include <cstring>

namespace lockstep::executor {

ResultBuffer::ResultBuffer(char* data, size_t bytes)
    : header_(reinterpret_cast<wire::ResultHeader*>(data)),
      begin_(data),
      next_(data + sizeof(wire::ResultHeader)),
      end_(data + bytes) {
  *header_ = {};
  header_->magic = wire::kMagic;
}

bool ResultBuffer::Overflow() {
  if (program_ != nullptr) next_ = reinterpret_cast<char*>(program_);
  program_ = nullptr;
  full_ = true;
  return false;
}

bool ResultBuffer::Begin(uint32_t index) {
  if (full_ || static_cast<size_t>(end_ - next_) < sizeof *program_) {
    return Overflow();
  }
  program_ = reinterpret_cast<wire::ProgramResult*>(next_);
  *program_ = {};
  program_->index = index;
  program_->bytes = sizeof *program_;
  next_ += sizeof *program_;
  return true;
}

bool ResultBuffer::Append(const void* bytes, size_t size) {
  if (full_ || static_cast<size_t>(end_ - next_) < size) return Overflow();
  std::memcpy(next_, bytes, size);
  next_ += size;
  return true;
}

void ResultBuffer::Commit(uint32_t steps) {
  program_->steps += steps;
  program_->bytes =
      static_cast<uint64_t>(next_ - reinterpret_cast<char*>(program_));
}

void ResultBuffer::Close(wire::End end, int signal) {
  program_->end = end;
  program_->signal = signal;
  next_ = reinterpret_cast<char*>(program_) + program_->bytes;
  program_ = nullptr;
  ++header_->programs;
}

size_t ResultBuffer::Finish(uint64_t user_ns, uint64_t system_ns) {
  header_->bytes = static_cast<uint64_t>(next_ - begin_);
  header_->user_ns = user_ns;
  header_->system_ns = system_ns;
  return header_->bytes;
}

}  // namespace lockstep::executor
