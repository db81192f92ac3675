// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/executor/slots.h"

#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdint>

#include "engine/linux/executor/credentials.h"
#include "engine/linux/executor/process.h"
#include "engine/linux/executor/syscalls.h"
#include "engine/linux/executor/vmas.h"
#include "engine/uapi.h"

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

namespace lockstep::executor {
namespace {

// linux/shm.h, which does not go with sys/shm.h.
constexpr uint32_t kShmDest = 01000, kShmLocked = 02000;

Outcome FromResult(int64_t result) {
  return IsError(result) ? Outcome::Errno(static_cast<int>(-result))
                         : Outcome::Ok(result);
}

uint64_t InodeOf(int fd) {
  struct stat status {};
  int64_t error =
      RawSyscall(SYS_fstat, static_cast<uint64_t>(fd), AddressOf(&status));
  return error == 0 ? status.st_ino : 0;
}

int OpenFile(int slot, uint64_t size, SharedState::FileSlot* file) {
  char name[sizeof(kFileName) + 1];
  for (size_t i = 0; i + 1 < sizeof(kFileName); ++i) name[i] = kFileName[i];
  name[sizeof(kFileName) - 1] = static_cast<char>('0' + slot);
  name[sizeof(kFileName)] = '\0';
  int64_t fd = RawSyscall(SYS_memfd_create, AddressOf(name), 0);
  if (fd < 0) return static_cast<int>(-fd);
  file->fd = MoveFd(static_cast<int>(fd), kFirstFileFd + slot);
  if (file->fd < 0) return -file->fd;
  file->inode = InodeOf(file->fd);
  file->size = size;
  return static_cast<int>(-Ftruncate(file->fd, size));
}

// Secrets may be missing (before 5.14, or secretmem.enable=0): the step says
// so.
void OpenSecret(int slot, SharedState::FileSlot* secret) {
  *secret = {.fd = -1, .made = 0, .size = 0, .inode = 0};
  int64_t fd = RawSyscall(SYS_memfd_secret, 0);
  if (fd < 0) return;
  secret->fd = MoveFd(static_cast<int>(fd), kFirstSecretFd + slot);
  secret->inode = InodeOf(secret->fd);
}

void Empty(SharedState::ShmSlot* segment) {
  *segment = {};
  segment->id = -1;
}

bool RemoveSegment(int id) {
  auto segment = static_cast<uint64_t>(id);
  int64_t error = RawSyscall(SYS_shmctl, segment, IPC_RMID, 0);
  // Of another user: CAP_SYS_ADMIN removes it.
  if (error == -EPERM && RaiseCapabilities() == 0) {
    error = RawSyscall(SYS_shmctl, segment, IPC_RMID, 0);
  }
  return error == 0 || error == -EIDRM || error == -EINVAL;
}

}  // namespace

int OpenSlots(uint64_t file_size, SharedState* shared) {
  for (int slot = 0; slot < kFileSlots; ++slot) {
    SharedState::FileSlot& file = process.files[slot];
    SharedState::FileSlot& secret = process.secrets[slot];
    if (!process.slots_open) {
      if (int error = OpenFile(slot, file_size, &file); error != 0) {
        return error;
      }
      OpenSecret(slot, &secret);
    } else if (file.size != file_size) {
      int64_t error = Ftruncate(file.fd, file_size);
      if (error != 0) return static_cast<int>(-error);
      file.size = file_size;
    }
    shared->files[slot] = file;
    shared->secrets[slot] = secret;
  }
  process.slots_open = true;
  process.files_changed = false;
  for (SharedState::ShmSlot& segment : shared->shm) Empty(&segment);
  shared->zero_count = 0;
  return 0;
}

bool ResetSlots(SharedState* shared) {
  bool good = true;
  for (int slot = 0; slot < kFileSlots; ++slot) {
    SharedState::FileSlot& file = process.files[slot];
    if (process.files_changed) {
      // Pages go with the size.
      good &= Ftruncate(file.fd, 0) == 0 && Ftruncate(file.fd, file.size) == 0;
    }
    if (shared->secrets[slot].made != 0) {
      SharedState::FileSlot& secret = process.secrets[slot];
      Close(secret.fd);
      OpenSecret(slot, &secret);
      good &= secret.fd >= 0;
    }
  }
  for (SharedState::ShmSlot& segment : shared->shm) {
    if (segment.id >= 0 && segment.removed == 0) {
      good &= RemoveSegment(segment.id);
    }
    Empty(&segment);
  }
  return good;
}

Outcome Shmget(const Step& step, int task, SharedState* shared) {
  int slot = step.slot % kShmSlots;
  SharedState::ShmSlot& segment = shared->shm[slot];
  uint64_t flags = 0666 | (step.value != 0 ? SHM_HUGETLB : 0);
  int64_t id = RawSyscall(SYS_shmget, IPC_PRIVATE, step.length, flags);
  if (id < 0) return FromResult(id);
  Empty(&segment);
  segment.id = static_cast<int>(id);
  segment.owner = shared->tasks[task].uid;
  segment.hugetlb = step.value != 0 ? 1 : 0;
  segment.size = step.length;
  return Outcome::Ok(slot);
}

int64_t Shmat(const Step& step, uint64_t address, const SharedState& shared) {
  const SharedState::ShmSlot& segment = shared.shm[step.slot % kShmSlots];
  return RawSyscall(SYS_shmat, static_cast<uint64_t>(segment.id), address,
                    step.flags);
}

Outcome Shmctl(const Step& step, SharedState* shared) {
  int slot = step.slot % kShmSlots;
  SharedState::ShmSlot& segment = shared->shm[slot];
  int64_t result =
      RawSyscall(SYS_shmctl, static_cast<uint64_t>(segment.id), step.flags, 0);
  if (result == 0 && step.flags == uapi::kIpcRmid) {
    segment.removed = 1;
    ForgetDestroyedSegment(slot, shared);
  }
  if (result == 0 && step.flags == uapi::kShmLock) segment.locked = 1;
  if (result == 0 && step.flags == uapi::kShmUnlock) segment.locked = 0;
  return FromResult(result);
}

Outcome MemfdSecret(const Step& step, SharedState* shared) {
  int slot = step.slot % kFileSlots;
  SharedState::FileSlot& secret = shared->secrets[slot];
  if (secret.fd < 0) {
    // What made it fail before the program does so again.
    int64_t fd = RawSyscall(SYS_memfd_secret, 0);
    if (fd < 0) return FromResult(fd);
    Close(static_cast<int>(fd));
    return Outcome::Unsupported();
  }
  int64_t result = Ftruncate(secret.fd, step.length);
  if (result < 0) return FromResult(result);
  secret.made = 1;
  secret.size = step.length;
  return Outcome::Ok(slot);
}

Outcome FtruncateFile(const Step& step, SharedState* shared) {
  SharedState::FileSlot& file = shared->files[step.slot % kFileSlots];
  process.files_changed = true;
  int64_t result = Ftruncate(file.fd, step.length);
  if (result == 0) file.size = step.length;
  return FromResult(result);
}

bool StatSegment(const SharedState& shared, int slot, wire::ShmRecord* record) {
  const SharedState::ShmSlot& segment = shared.shm[slot];
  struct shmid_ds status {};
  int64_t error = RawSyscall(SYS_shmctl, static_cast<uint64_t>(segment.id),
                             IPC_STAT, AddressOf(&status));
  if (error != 0) return false;
  record->slot = static_cast<uint8_t>(slot);
  record->exists = 1;
  record->locked = (status.shm_perm.mode & kShmLocked) != 0 ? 1 : 0;
  record->removed = (status.shm_perm.mode & kShmDest) != 0 ? 1 : 0;
  record->hugetlb = segment.hugetlb;
  record->owner = static_cast<uint8_t>(SlotOfUid(status.shm_perm.uid));
  record->attached = static_cast<uint32_t>(status.shm_nattch);
  record->size = status.shm_segsz;
  return true;
}

void ForgetDestroyedSegment(int slot, SharedState* shared) {
  SharedState::ShmSlot& segment = shared->shm[slot];
  wire::ShmRecord record;
  if (segment.id >= 0 && segment.removed != 0 &&
      !StatSegment(*shared, slot, &record)) {
    Empty(&segment);
  }
}

}  // namespace lockstep::executor
