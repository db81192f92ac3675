// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/executor/vmas.h"

#include <emmintrin.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "engine/linux/executor/process.h"
#include "engine/linux/executor/syscalls.h"
#include "engine/range.h"
#include "engine/uapi.h"
#include "engine/units.h"

namespace lockstep::executor {
namespace {

// struct procmap_query of <linux/fs.h>, which older headers lack.
struct ProcmapQuery {
  uint64_t size;
  uint64_t query_flags;
  uint64_t query_addr;
  uint64_t vma_start;
  uint64_t vma_end;
  uint64_t vma_flags;
  uint64_t vma_page_size;
  uint64_t vma_offset;
  uint64_t inode;
  uint32_t dev_major;
  uint32_t dev_minor;
  uint32_t vma_name_size;
  uint32_t build_id_size;
  uint64_t vma_name_addr;
  uint64_t build_id_addr;
};
static_assert(sizeof(ProcmapQuery) == 104);
constexpr uint64_t kProcmapQuery =
    uint64_t{3} << 30 | sizeof(ProcmapQuery) << 16 | uint64_t{'f'} << 8 | 17;
constexpr uint64_t kQueryReadable = 1, kQueryWritable = 2, kQueryExecutable = 4;
constexpr uint64_t kQueryShared = 8, kQueryCoveringOrNext = 0x10;

int64_t QueryVma(uint64_t address, char* name, uint32_t name_bytes,
                 ProcmapQuery* query) {
  *query = ProcmapQuery();
  query->size = sizeof(*query);
  query->query_flags = kQueryCoveringOrNext;
  query->query_addr = address;
  query->vma_name_addr = AddressOf(name);
  query->vma_name_size = name_bytes;
  return RawSyscall(SYS_ioctl, kMapsFd, kProcmapQuery, AddressOf(query));
}

bool StartsWith(const char* text, const char* prefix) {
  while (*prefix != '\0') {
    if (*text++ != *prefix++) return false;
  }
  return true;
}

struct KindName {
  const char* prefix;
  VmaInfo::Kind kind;
  uint32_t bits;
};
constexpr KindName kKindNames[] = {
    {"/SYSV", VmaInfo::Kind::kShm, kRangeFile | kRangeShm},
    {"/secretmem", VmaInfo::Kind::kSecret, kRangeFile | kRangeSecret},
    {"/dev/zero", VmaInfo::Kind::kZero, kRangeFile},
    {"/memfd:lockstep-file-", VmaInfo::Kind::kMemfd, kRangeFile},
    {"/", VmaInfo::Kind::kFile, kRangeFile},
};

// Kind, slot and their bits, by the name in maps.
void SetKind(const char* name, VmaInfo* vma) {
  vma->kind = VmaInfo::Kind::kAnonymous;
  for (const KindName& row : kKindNames) {
    if (!StartsWith(name, row.prefix)) continue;
    vma->kind = row.kind;
    vma->bits |= row.bits;
    break;
  }
  if (vma->kind != VmaInfo::Kind::kMemfd) return;
  while (*name != '\0' && (*name < '0' || *name > '9')) ++name;
  vma->slot = static_cast<uint8_t>((*name - '0') % kFileSlots);
}

// The first newline from `text` on, or `end`. Reads up to 15 bytes behind it.
char* FindNewline(char* text, char* end) {
  const __m128i newline = _mm_set1_epi8('\n');
  for (; text < end; text += 16) {
    __m128i chars = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text));
    int found = _mm_movemask_epi8(_mm_cmpeq_epi8(chars, newline));
    if (found != 0) {
      char* at = text + __builtin_ctz(static_cast<unsigned>(found));
      return at < end ? at : end;
    }
  }
  return end;
}
constexpr size_t kBehind = 16;

// Lines of a /proc file that is read from its start. Static: the walks of one
// process never overlap, and a stack must not grow.
struct LineReader {
  int fd;
  uint64_t offset;  // of the next read
  char* next;
  char* end;
  char buffer[8192 + kBehind];

  void Start(int new_fd) {
    fd = new_fd;
    offset = 0;
    next = end = buffer;
  }
  // The next line, without its newline; null at the end of the file. Good until
  // the next call.
  const char* Next();
};
LineReader reader;

const char* LineReader::Next() {
  char* newline = FindNewline(next, end);
  while (newline == end) {
    // What there is of the line comes to the front, and more is read.
    char* to = buffer;
    for (const char* from = next; from < end;) *to++ = *from++;
    next = buffer;
    end = to;
    size_t room = sizeof(buffer) - kBehind - static_cast<size_t>(end - next);
    if (room == 0) Fatal(EBADMSG);
    int64_t got = Pread(fd, end, room, offset);
    if (got < 0) Fatal(static_cast<int>(-got));
    if (got == 0) return nullptr;
    offset += static_cast<uint64_t>(got);
    char* more = end;
    end += got;
    newline = FindNewline(more, end);
  }
  const char* line = next;
  *newline = '\0';
  next = newline + 1;
  return line;
}

uint64_t ParseHex(const char** text) {
  uint64_t value = 0;
  for (;; ++*text) {
    char c = **text;
    if (c >= '0' && c <= '9') {
      value = value << 4 | static_cast<uint64_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      value = value << 4 | static_cast<uint64_t>(c - 'a' + 10);
    } else {
      return value;
    }
  }
}

uint64_t ParseDecimal(const char** text) {
  uint64_t value = 0;
  for (; **text >= '0' && **text <= '9'; ++*text) {
    value = value * 10 + static_cast<uint64_t>(**text - '0');
  }
  return value;
}

// "start-end rwxp offset major:minor inode  name". False for other lines.
bool ParseMapsLine(const char* line, VmaInfo* vma) {
  const char* text = line;
  *vma = VmaInfo();
  vma->span.start = ParseHex(&text);
  if (text == line || *text != '-') return false;
  ++text;
  vma->span.end = ParseHex(&text);
  if (*text++ != ' ') return false;
  vma->bits = kRangeMayWrite;
  if (text[0] == 'r') vma->bits |= kRangeRead;
  if (text[1] == 'w') vma->bits |= kRangeWrite;
  if (text[2] == 'x') vma->bits |= kRangeExec;
  if (text[3] == 's') vma->bits |= kRangeShared;
  text += 5;
  vma->offset = ParseHex(&text);
  ++text;
  ParseHex(&text);  // major
  ++text;
  ParseHex(&text);  // minor
  ++text;
  vma->inode = ParseDecimal(&text);
  while (*text == ' ') ++text;
  SetKind(text, vma);
  return true;
}

// Two letters of smaps' VmFlags.
struct FlagName {
  char name[3];
  uint32_t bits;
};
constexpr FlagName kFlagNames[] = {
    {"mw", kRangeMayWrite},
    {"lo", kRangeLocked},
    {"lf", kRangeLockOnFault},
    {"gd", kRangeGrowsdown},
    {"ht", kRangeHugetlb | kRangeSpecial},
    {"io", kRangeIo | kRangeSpecial},
    {"pf", kRangeIo | kRangeSpecial},
    {"de", kRangeSpecial},
    {"mm", kRangeSpecial},
    {"dp", kRangeDroppable},
};

void ParseVmFlags(const char* text, VmaInfo* vma) {
  vma->bits &= ~uint32_t{kRangeMayWrite};
  for (; text[0] != '\0' && text[1] != '\0'; text += 2) {
    while (*text == ' ') ++text;
    if (text[0] == '\0') break;
    // 6.1 has no name for VM_LOCKONFAULT; its bit comes after VM_LOCKED's.
    if (text[0] == '?' && (vma->bits & kRangeLocked) != 0) {
      vma->bits |= kRangeLockOnFault;
    }
    for (const FlagName& flag : kFlagNames) {
      if (text[0] == flag.name[0] && text[1] == flag.name[1]) {
        vma->bits |= flag.bits;
      }
    }
  }
}

}  // namespace

VmaWalk::VmaWalk(Source source, uint64_t from, Names names)
    : source_(source), from_(from), names_(names) {
  if (source_ == Source::kSmaps) {
    reader.Start(kSmapsFd);
  } else if (!process.has_procmap) {
    reader.Start(kMapsFd);
  }
}

bool VmaWalk::Next(VmaInfo* vma) {
  if (source_ == Source::kQuick && process.has_procmap) return Query(vma);
  while (ReadEntry(vma)) {
    if (vma->span.end > from_) return vma->span.start < kTaskSize;
  }
  return false;
}

bool VmaWalk::Query(VmaInfo* vma) {
  ProcmapQuery query;
  if (QueryVma(from_, nullptr, 0, &query) != 0) return false;
  // "[vsyscall]" is no VMA.
  if (query.vma_start >= kTaskSize) return false;
  from_ = query.vma_end;
  vma->span = {query.vma_start, query.vma_end};
  vma->offset = query.vma_offset;
  vma->inode = query.inode;
  vma->bits = kRangeMayWrite;
  if ((query.vma_flags & kQueryReadable) != 0) vma->bits |= kRangeRead;
  if ((query.vma_flags & kQueryWritable) != 0) vma->bits |= kRangeWrite;
  if ((query.vma_flags & kQueryExecutable) != 0) vma->bits |= kRangeExec;
  if ((query.vma_flags & kQueryShared) != 0) vma->bits |= kRangeShared;
  vma->kind = VmaInfo::Kind::kAnonymous;
  vma->slot = 0;
  // A mapping of a file; segment 0 has inode 0.
  if (names_ == Names::kAsk &&
      (query.inode != 0 || (vma->bits & kRangeShared) != 0)) {
    static char name[64];
    int64_t error = QueryVma(query.vma_start, name, sizeof(name), &query);
    // A name that is too long is none of the session's.
    SetKind(error == 0 ? name : "/", vma);
  }
  return true;
}

bool VmaWalk::ReadEntry(VmaInfo* vma) {
  const char* line = reader.Next();
  if (line == nullptr) return false;
  if (!ParseMapsLine(line, vma)) Fatal(EBADMSG);
  if (source_ == Source::kQuick) return true;
  constexpr char kVmFlags[] = "VmFlags: ";
  do {
    line = reader.Next();
    if (line == nullptr) Fatal(EBADMSG);
  } while (line[0] != 'V' || !StartsWith(line, kVmFlags));
  ParseVmFlags(line + sizeof(kVmFlags) - 1, vma);
  return true;
}

bool ProbeProcmapQuery() {
  ProcmapQuery query;
  return QueryVma(0, nullptr, 0, &query) == 0;
}

Accounting ReadAccounting() {
  static char text[2048 + kBehind];
  int64_t got = Pread(kStatusFd, text, sizeof(text) - kBehind, 0);
  if (got <= 0) Fatal(got == 0 ? ESRCH : static_cast<int>(-got));
  char* end = text + got;
  // "VmSize:" comes first, "VmLck:" next; each with kB after blanks.
  uint64_t values[2] = {};
  constexpr const char* kNames[] = {"VmSize:", "VmLck:"};
  int found = 0;
  for (char* line = text; line < end; line = FindNewline(line, end) + 1) {
    if (line[0] != 'V' || !StartsWith(line, kNames[found])) continue;
    const char* number = line;
    while (*number < '0' || *number > '9') ++number;
    values[found++] = ParseDecimal(&number) * 1024 >> kPageShift;
    if (found == 2) return {values[1], values[0]};
  }
  Fatal(EBADMSG);
}

uint64_t ReadTotalVm() {
  char text[64];
  int64_t got = Pread(kStatmFd, text, sizeof(text), 0);
  if (got <= 0) Fatal(got == 0 ? ESRCH : static_cast<int>(-got));
  const char* number = text;
  return ParseDecimal(&number);
}

IsIt LockedVmIs(uint64_t pages, uint64_t limit) {
  // More than any mapping of a program: only asked for, never made.
  constexpr uint64_t kMostRoom = uint64_t{1} << 24;
  const uint64_t limit_pages = limit >> kPageShift;
  if (limit_pages <= pages || limit_pages - pages > kMostRoom) {
    return IsIt::kUnknown;
  }
  const uint64_t room = limit_pages - pages;
  auto ask = [](uint64_t more) {
    int64_t result =
        RawSyscall(SYS_mmap, 0, more << kPageShift, 0,
                   uapi::kMapAnonymous | uapi::kMapLocked, ~uint64_t{0}, 0);
    if (!IsError(result)) Fatal(EPROTO);
    return static_cast<int>(-result);
  };
  const int beyond = ask(room + 1), within = ask(room);
  if (beyond == EAGAIN && within == EINVAL) return IsIt::kYes;
  return beyond == EAGAIN && within == EAGAIN ? IsIt::kNo : IsIt::kUnknown;
}

bool IsLocked(Span span) {
  return RawSyscall(SYS_msync, span.start, span.end - span.start,
                    uapi::kMsAsync | uapi::kMsInvalidate) == -EBUSY;
}

}  // namespace lockstep::executor
