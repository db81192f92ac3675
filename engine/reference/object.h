// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Backing objects: page cache of files, shmem and drivers (mm/filemap.c,
// mm/shmem.c).

#ifndef LOCKSTEP_ENGINE_REFERENCE_OBJECT_H_
#define LOCKSTEP_ENGINE_REFERENCE_OBJECT_H_

#include "engine/reference/machine.h"

namespace lockstep::reference {

// A new object with one reference.
ObjectId NewObject(Machine& machine, Object::Kind kind, uint64_t size);
void GetObject(Machine& machine, ObjectId object);
// The last reference frees it and its pages.
void PutObject(Machine& machine, ObjectId object);

// Pages up to the end, the last perhaps partly behind it.
uint64_t ObjectPages(const Machine& machine, ObjectId object);

// The page at the index; 0 if it is not in the cache.
Pfn FindObjectPage(const Machine& machine, ObjectId object, uint64_t index);
// The same, read in if need be; 0 if there is no memory.
Pfn FindOrAddObjectPage(Machine& machine, ObjectId object, uint64_t index);
// Puts a page that the caller has a reference of in the place of index.
void ReplaceObjectPage(Machine& machine, ObjectId object, uint64_t index,
                       Pfn pfn);
// Takes the page out of the cache, with the cache's reference.
void RemoveObjectPage(Machine& machine, ObjectId object, uint64_t index);

// unmap_mapping_range: unmaps [first, end) from every address space, private
// copies too if even_cows.
void UnmapObject(Machine& machine, ObjectId object, uint64_t first,
                 uint64_t end, bool even_cows);
// truncate_pagecache_range: unmaps [first, end) and drops the pages.
void TruncateObject(Machine& machine, ObjectId object, uint64_t first,
                    uint64_t end, bool even_cows);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_OBJECT_H_
