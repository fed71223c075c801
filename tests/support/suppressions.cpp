// What ThreadSanitizer is told not to report.
//
// moodycamel's queue hands cells and index entries back to their producer by relaxed operations
// with fences beside them, which ThreadSanitizer of gcc 12 does not follow: it takes the producer's
// next write for a race with the consumer's last read. Only accesses within that header are left
// out; what the queue carries is handed on by a release and an acquire, and stays watched.
#if defined(__SANITIZE_THREAD__)
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() { return "race:concurrentqueue.h\n"; }
#endif
