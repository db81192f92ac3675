// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/repro_c_helpers.h"

namespace lockstep {
namespace {

// No stdio buffers and no malloc after the start: under MCL_FUTURE both change
// what is locked. dprintf() needs neither.
constexpr CHelperText kHelpers[] = {
    {kCBase, 0, "errno.h stdio.h sys/mman.h sys/syscall.h unistd.h", R"c(
enum { BEHAVES = 0, DEVIATES = 1, CANNOT_RUN = 4 };
enum { OK = 0 };

#define PAGE 4096UL
#define ARENA 0x200000000000UL
#define arena(n) (ARENA + (n)*PAGE)

/* The errno of a system call, OK if there was none. */
#define call(...) (syscall(__VA_ARGS__) == -1 ? errno : OK)

/* Ends this run of the program. */
static void leave(int status) __attribute__((noreturn));

static void cannot_run(const char *why)
{
	dprintf(1, "cannot run here: %s\n", why);
	leave(CANNOT_RUN);
}
)c"},
    {kCExpect, kCBase, "", R"c(
static const char *name_of(int outcome)
{
	static char number[32];

	switch (outcome) {
	case OK: return "success";
	case EPERM: return "EPERM";
	case EINTR: return "EINTR";
	case EAGAIN: return "EAGAIN";
	case ENOMEM: return "ENOMEM";
	case EACCES: return "EACCES";
	case EFAULT: return "EFAULT";
	case EBUSY: return "EBUSY";
	case EINVAL: return "EINVAL";
	case ENOSYS: return "ENOSYS";
	}
	snprintf(number, sizeof(number), outcome < 0 ? "signal %d" : "errno %d",
		 outcome < 0 ? -outcome : outcome);
	return number;
}

/* A step must end in one of these outcomes; mostly there is only one. */
static void expect_one_of(int step, const char *what, int seen,
			  const int outcomes[], unsigned long count)
{
	unsigned long i;

	for (i = 0; i < count; i++)
		if (seen == outcomes[i])
			return;
	dprintf(1, "step %d, %s: expected ", step, what);
	for (i = 0; i < count; i++)
		dprintf(1, i ? "or %s, " : "%s, ", name_of(outcomes[i]));
	dprintf(1, "seen %s\n", name_of(seen));
	leave(DEVIATES);
}
#define expect(step, what, seen, ...)                                   \
	expect_one_of(step, what, seen, (const int[]){ __VA_ARGS__ },    \
		      sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int))
)c"},
    {kCMlock2, kCBase, "", R"c(
#ifndef SYS_mlock2
#ifdef __x86_64__
#define SYS_mlock2 325
#else
#define SYS_mlock2 284
#endif
#endif

/* mlock2 came with 4.4: without it there is nothing to see here. */
static int mlock2_call(unsigned long start, unsigned long length, int flags)
{
	int outcome = call(SYS_mlock2, start, length, flags);

	if (outcome == ENOSYS)
		cannot_run("this kernel has no mlock2");
	return outcome;
}
)c"},
    {kCDontunmap, kCBase, "", R"c(
/*
 * All five arguments: the C library hands the new address on for MREMAP_FIXED
 * only. MREMAP_DONTUNMAP came with 5.7: a kernel that refuses it for plain
 * memory too has nothing to show here.
 */
static int mremap_dontunmap(unsigned long start, unsigned long length,
			    unsigned long new_length, int flags,
			    unsigned long new_start)
{
	int outcome = call(SYS_mremap, start, length, new_length, flags,
			   new_start);
	char *page;
	long moved;

	if (outcome != EINVAL)
		return outcome;
	page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return outcome;
	moved = syscall(SYS_mremap, page, PAGE, PAGE, MREMAP_MAYMOVE | 4, 0);
	if (moved == -1 && errno == EINVAL)
		cannot_run("this kernel has no MREMAP_DONTUNMAP");
	if (moved != -1)
		munmap((void *)moved, PAGE);
	munmap(page, PAGE);
	return outcome;
}
)c"},
    {kCHeap, kCBase, "", R"c(
/* Where the heap begins: the model's heap page 0. */
static unsigned long heap_base;
#define heap(n) (heap_base + (n)*PAGE)

static void find_heap(void)
{
	unsigned long end = syscall(SYS_brk, 0);

	heap_base = (end + PAGE - 1) & ~(PAGE - 1);
	if ((unsigned long)syscall(SYS_brk, heap_base) != heap_base)
		cannot_run("the heap cannot be moved to a page boundary");
}
)c"},
    {kCBrk, kCBase, "", R"c(
/* brk has no errno: a refusal leaves the end where it was. */
static int move_brk(unsigned long end)
{
	return (unsigned long)syscall(SYS_brk, end) == end ? OK : ENOMEM;
}
)c"},
    {kCStatus, kCBase, "fcntl.h stdlib.h string.h", R"c(
/* A line of /proc/self/status such as "VmLck:", in pages. */
static unsigned long status_pages(const char *name)
{
	static char text[8192];
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	const char *line;

	close(fd);
	if (size <= 0)
		cannot_run("/proc/self/status cannot be read");
	text[size] = 0;
	line = strstr(text, name);
	if (!line)
		cannot_run("/proc/self/status has no VmLck or VmSize");
	return strtoul(line + strlen(name), NULL, 10) * 1024 / PAGE;
}
)c"},
    {kCImage, kCBase | kCStatus, "fcntl.h stdlib.h string.h", R"c(
/*
 * Pages of locked mappings that are not the program's: mlockall locks this
 * process too.
 */
static unsigned long locked_image(void)
{
	static char text[1 << 18];
	int fd = open("/proc/self/smaps", O_RDONLY);
	unsigned long pages = 0, here = 0;
	size_t used = 0;
	ssize_t got;
	char *line, *end;
	int own = 0;

	while (fd >= 0 && used < sizeof(text) - 1 &&
	       (got = read(fd, text + used, sizeof(text) - 1 - used)) > 0)
		used += got;
	close(fd);
	text[used] = 0;
	for (line = text; *line; line = end + 1) {
		unsigned long start = strtoul(line, &end, 16);

		if (*end == '-')
			own = !IS_PROGRAM(start);
		if (!strncmp(line, "Size:", 5))
			here = strtoul(line + 5, NULL, 10) * 1024 / PAGE;
		end = strchr(line, '\n');
		if (!end)
			break;
		*end = 0;
		if (own && !strncmp(line, "VmFlags:", 8) && strstr(line, " lo"))
			pages += here;
	}
	return pages;
}
)c"},
    {kCImageSize, kCBase | kCStatus, "", R"c(
/*
 * mlockall compares the size of the whole process with the limit. What this
 * process has beyond the program's `pages` is added to the limit.
 */
static unsigned long image_pages(unsigned long pages)
{
	return status_pages("VmSize:") - pages;
}
)c"},
    {kCLocked, kCBase | kCStatus, "", R"c(
/* locked_vm of this process. */
static void locked(int step, unsigned long pages)
{
	unsigned long seen = status_pages("VmLck:") - LOCKED_IMAGE;

	if (seen == pages)
		return;
	dprintf(1, "after step %d: expected VmLck of %lu pages, seen %lu\n",
		step, pages, seen);
	leave(DEVIATES);
}
)c"},
    {kCResident, kCBase, "fcntl.h stdint.h", R"c(
/* Every page of the range is mapped in the page tables, or none is. */
static void residency(int step, unsigned long start, unsigned long pages,
		      int expected)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	unsigned long page;
	uint64_t entry;

	if (fd < 0)
		cannot_run("/proc/self/pagemap cannot be opened");
	for (page = 0; page < pages; page++) {
		if (pread(fd, &entry, sizeof(entry),
			  (start / PAGE + page) * sizeof(entry)) !=
		    sizeof(entry))
			cannot_run("/proc/self/pagemap cannot be read");
		if ((int)(entry >> 63) == expected)
			continue;
		dprintf(1, "after step %d: expected the page at %#lx %s\n",
			step, start + page * PAGE,
			expected ? "resident, it is not"
				 : "not resident, it is");
		leave(DEVIATES);
	}
	close(fd);
}
)c"},
    {kCMlocked, kCBase, "fcntl.h stdint.h", R"c(
/* Every page of the range, all of which are resident, has PG_mlocked. */
static void mlocked(int step, unsigned long start, unsigned long pages)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY);
	int kpageflags = open("/proc/kpageflags", O_RDONLY);
	unsigned long page;
	uint64_t frame, flags;

	if (pagemap < 0 || kpageflags < 0)
		cannot_run("/proc/kpageflags needs root");
	for (page = 0; page < pages; page++) {
		if (pread(pagemap, &frame, sizeof(frame),
			  (start / PAGE + page) * sizeof(frame)) !=
		    sizeof(frame))
			cannot_run("/proc/self/pagemap cannot be read");
		frame &= (1UL << 55) - 1;
		if (frame == 0)
			cannot_run("numbers of page frames need CAP_SYS_ADMIN");
		if (pread(kpageflags, &flags, sizeof(flags),
			  frame * sizeof(flags)) != sizeof(flags))
			cannot_run("/proc/kpageflags cannot be read");
		if (flags >> 33 & 1 /* KPF_MLOCKED */)
			continue;
		dprintf(1, "after step %d: expected the page at %#lx Mlocked, "
			"it is not\n", step, start + page * PAGE);
		leave(DEVIATES);
	}
	close(kpageflags);
	close(pagemap);
}
)c"},
    {kCTouch, kCBase, "setjmp.h signal.h", R"c(
static sigjmp_buf after_signal;

static void on_signal(int signal)
{
	siglongjmp(after_signal, signal);
}

/* Reads or writes one byte: OK, or minus the signal. */
static int touch(unsigned long address, int write)
{
	volatile char *byte = (volatile char *)address;
	struct sigaction action = { .sa_handler = on_signal };
	int got;

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	got = sigsetjmp(after_signal, 1);
	if (got)
		return -got;
	if (write)
		*byte = 1;
	else
		(void)*byte;
	return OK;
}
)c"},
    {kCLimit, kCBase, "sys/resource.h", R"c(
/* RLIMIT_MEMLOCK, soft limit; `image` pages are not the program's. */
static void set_limit(unsigned long bytes, unsigned long image)
{
	struct rlimit limit;
	rlim_t soft = bytes;

	if (bytes == ~0UL)
		soft = RLIM_INFINITY;
	else if (bytes != 0)
		soft = bytes + image * PAGE;
	getrlimit(RLIMIT_MEMLOCK, &limit);
	limit.rlim_cur = soft;
	if (soft > limit.rlim_max)
		limit.rlim_max = soft;
	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		cannot_run("the hard limit of RLIMIT_MEMLOCK is too low");
}
)c"},
    {kCCapability, kCBase, "linux/capability.h string.h", R"c(
/*
 * CAP_IPC_LOCK in the effective set on or off; not CAP_SYS_RAWIO, which may map
 * the first pages; everything else as allowed.
 */
static void set_capability(int ipc_lock)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct data[2];
	char space[64] = "";

	if (syscall(SYS_capget, &header, data))
		cannot_run("capget fails");
	data[0].effective = data[0].permitted &
			    ~(1U << CAP_IPC_LOCK | 1U << CAP_SYS_RAWIO);
	data[1].effective = data[1].permitted;
	if (ipc_lock) {
		if (!(data[0].permitted & (1U << CAP_IPC_LOCK)))
			cannot_run("the program needs CAP_IPC_LOCK");
		/* Only the first user namespace gives the right to lock. */
		if (readlink("/proc/self/ns/user", space, sizeof(space) - 1) > 0 &&
		    strcmp(space, "user:[4026531837]"))
			cannot_run("CAP_IPC_LOCK of a user namespace is not enough");
		data[0].effective |= 1U << CAP_IPC_LOCK;
	}
	if (syscall(SYS_capset, &header, data))
		cannot_run("capset fails");
}
)c"},
    {kCUser, kCBase | kCCapability, "", R"c(
/* Another user with the same capabilities: user 0 is whoever runs this. */
static void become_user(int slot, int ipc_lock)
{
	static int first = -1;
	int uid;

	if (first < 0)
		first = getuid();
	uid = slot ? 65500 + slot : first;
	/* The saved ID stays 0, which keeps the permitted capabilities. */
	if (syscall(SYS_setresuid, uid, uid, 0))
		cannot_run("changing the user needs root");
	set_capability(ipc_lock);
}
)c"},
    {kCFiles, kCBase, "stdlib.h", R"c(
static int file[4];

static void make_files(unsigned long size)
{
	int i;

	for (i = 0; i < 4; i++) {
		char name[] = "/tmp/lockstep-XXXXXX";

		file[i] = mkstemp(name);
		if (file[i] < 0 || ftruncate(file[i], size))
			cannot_run("no file of that size can be made in /tmp");
		unlink(name);
	}
}
)c"},
    {kCShm, kCBase, "sys/ipc.h sys/shm.h", R"c(
/* Shared by all processes, so that main() can remove what is left. */
static int *segment;

static int make_segment(int slot, unsigned long size)
{
	int id = shmget(IPC_PRIVATE, size, IPC_CREAT | 0666);

	if (id >= 0)
		segment[slot] = id;
	return id < 0 ? errno : OK;
}

static void remove_segments(void)
{
	int i;

	for (i = 0; i < 4; i++) {
		if (segment[i] >= 0)
			shmctl(segment[i], IPC_RMID, NULL);
		segment[i] = -1;
	}
}
)c"},
    {kCAttach, kCBase | kCShm, "", R"c(
static int attach(int slot, unsigned long address, int flags)
{
	return shmat(segment[slot], (void *)address, flags) == (void *)-1
		       ? errno : OK;
}
)c"},
    {kCControl, kCBase | kCShm, "", R"c(
static int control(int slot, int command)
{
	if (shmctl(segment[slot], command, NULL))
		return errno;
	if (command == IPC_RMID)
		segment[slot] = -1;
	return OK;
}
)c"},
    {kCMincore, kCBase, "", R"c(
static unsigned char core[65536];
)c"},
    {kCOneTask, kCBase, "", R"c(
static void leave(int status)
{
	_exit(status);
}
)c"},
    {kCTasks, kCBase, "poll.h signal.h", R"c(
/*
 * Each task is a process that does one step at a time: the step's number comes
 * by the task's own pipe, the answer goes by one that all tasks share. The
 * descriptors are fixed, so that they are known after exec too.
 */
enum { TASKS = 8, COMMAND = 100, ANSWER = 130 };

static void step(int number);

/* The number of a step that is done, or minus an exit status. */
static void answer(int number)
{
	if (write(ANSWER + 1, &number, sizeof(number)) != sizeof(number))
		_exit(CANNOT_RUN);
}

static void leave(int status)
{
	answer(-status);
	_exit(status);
}

static void serve(int task)
{
	int number;

	while (read(COMMAND + 2 * task, &number, sizeof(number)) ==
	       sizeof(number)) {
		step(number);
		answer(number);
	}
	_exit(BEHAVES);
}

static void make_pipe(int at)
{
	int ends[2];

	if (pipe(ends) || dup2(ends[0], at) < 0 || dup2(ends[1], at + 1) < 0) {
		dprintf(1, "cannot run here: no pipe can be made\n");
		_exit(CANNOT_RUN);
	}
	close(ends[0]);
	close(ends[1]);
}

static void make_pipes(void)
{
	int task;

	for (task = 0; task < TASKS; task++)
		make_pipe(COMMAND + 2 * task);
	make_pipe(ANSWER);
}

/* Lets the task do the step and waits for it. */
static void tell(int task, int number)
{
	struct pollfd ready = { .fd = ANSWER, .events = POLLIN };
	int answered;

	if (write(COMMAND + 2 * task + 1, &number, sizeof(number)) !=
		    sizeof(number) ||
	    poll(&ready, 1, 20000) != 1 ||
	    read(ANSWER, &answered, sizeof(answered)) != sizeof(answered)) {
		dprintf(1, "step %d: task %d does not answer\n", number, task);
		_exit(DEVIATES);
	}
	if (answered < 0)
		_exit(-answered);
}
)c"},
    {kCFork, kCBase | kCTasks, "", R"c(
static int fork_task(int child)
{
	pid_t pid = fork();

	if (pid == 0)
		serve(child);
	return pid < 0 ? errno : OK;
}
)c"},
    {kCExec, kCBase | kCTasks | kCCapability, "stdlib.h", R"c(
/* This program again, as the task after step `number`: see main(). */
static void exec_task(int task, int number, int ipc_lock)
{
	char words[3][16];

	snprintf(words[0], sizeof(words[0]), "%d", task);
	snprintf(words[1], sizeof(words[1]), "%d", number);
	snprintf(words[2], sizeof(words[2]), "%d", ipc_lock);
	execl("/proc/self/exe", "repro", words[0], words[1], words[2], NULL);
	cannot_run("exec fails");
}
)c"},
    {kCDisturb, kCBase, "", R"c(
/*
 * Takes pages of the other process off their LRU lists for a moment, as
 * reclaim and migration do, while it runs.
 */
static void disturb(pid_t pid)
{
	void *page[DISTURBED];
	int node[DISTURBED], result[DISTURBED], i;
	static int to;

	to = !to;
	for (i = 0; i < DISTURBED; i++) {
		page[i] = (void *)arena(i);
		node[i] = to;
	}
	/* Moves only where there are two memory nodes. */
	syscall(SYS_move_pages, pid, (long)DISTURBED, page, node, result,
		1 << 1 /* MPOL_MF_MOVE */);
#if defined(SYS_pidfd_open) && defined(SYS_process_madvise)
	{
		struct { void *base; unsigned long size; } range = {
			(void *)ARENA, DISTURBED * PAGE
		};
		int fd = syscall(SYS_pidfd_open, pid, 0);

		if (fd >= 0) {
			syscall(SYS_process_madvise, fd, &range, 1L,
				20 /* MADV_COLD */, 0);
			close(fd);
		}
	}
#endif
}
)c"},
    {kCCounter, kCBase, "fcntl.h stdlib.h string.h", R"c(
/* NR_MLOCK of the whole machine, from /proc/vmstat. */
static long nr_mlock(void)
{
	static char text[32768];
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY);
	ssize_t size;
	const char *line;

	/* Folds the CPUs' shares into the sum, for root. */
	if (fd >= 0) {
		if (write(fd, "1", 1) != 1)
			text[0] = 0;
		close(fd);
	}
	fd = open("/proc/vmstat", O_RDONLY);
	size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	close(fd);
	if (size <= 0)
		cannot_run("/proc/vmstat cannot be read");
	text[size] = 0;
	line = strstr(text, "nr_mlock ");
	if (!line)
		cannot_run("/proc/vmstat has no nr_mlock");
	return strtol(line + strlen("nr_mlock "), NULL, 10);
}
)c"},
};

}  // namespace

absl::Span<const CHelperText> AllCHelpers() { return kHelpers; }

uint32_t WithNeeds(uint32_t helpers) {
  // Needs stand before the helper, so one pass from the end finds all.
  for (size_t i = AllCHelpers().size(); i-- > 0;) {
    const CHelperText& text = AllCHelpers()[i];
    if ((helpers & text.helper) != 0) helpers |= text.needs;
  }
  return helpers;
}

}  // namespace lockstep
