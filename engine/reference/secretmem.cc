// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/secretmem.h"

#include <cerrno>

#include "engine/reference/object.h"

namespace lockstep::reference {

Outcome SysMemfdSecret(Machine& machine, int slot, uint64_t size) {
  if (!machine.Has(Behaviour::kMemfdSecret)) return Outcome::Errno(ENOSYS);
  if (machine.secrets[slot] != 0) return Outcome::Skipped();
  if (size > static_cast<uint64_t>(INT64_MAX)) return Outcome::Errno(EINVAL);
  ObjectId object = NewObject(machine, Object::Kind::kSecret, size);
  machine.objects[object].unevictable = true;
  machine.objects[object].user = machine.current_task().uid;
  machine.secrets[slot] = object;
  return Outcome::Ok(slot);
}

int SecretmemMmap(const Machine& machine, Pages locked_vm, Vma* vma) {
  if (!vma->Is(kVmShared)) return EINVAL;
  if (machine.Has(Behaviour::kSecretmemPerUser)) {
    vma->flags |= kVmSecret | kVmDontdump;
    return 0;
  }
  const Task& task = machine.tasks[machine.current];
  if (!task.cap_ipc_lock &&
      locked_vm + vma->pages() > PagesOf(task.memlock_limit)) {
    return EAGAIN;
  }
  vma->flags |= kVmSecret | kVmLocked | kVmDontdump;
  return 0;
}

bool ChargeSecretPage(Machine& machine, const Object& object) {
  if (!machine.Has(Behaviour::kSecretmemPerUser)) return true;
  uint64_t& charged = machine.locked_secrets[object.user];
  if (charged >= PagesOf(machine.current_task().memlock_limit).n) return false;
  ++charged;
  return true;
}

}  // namespace lockstep::reference
