// cyto/cursor.hpp
//
// What: one word of shared memory, and a record of several words in two versions. With doorbell.hpp
//   this is the only home of memory orders between processes; everywhere else the role is the word:
//     word.own()      relaxed load by the word's one writer
//     word.observe()  acquire load by anybody
//     word.stage(v)   relaxed store: visible any time, meaningful only after a later publish
//     word.publish(v) release store
//
// Who: each word and each record has one writer at a time (the holder of its slot's kernel lock);
//   any process may read. Reading needs no write access to the page.
//
// Layout: a word is exactly its integer. A `versioned<N>` is two versions of {tag, N values}.
//
//   versioned<3>   | tag | v0 | v1 | v2 | tag | v0 | v1 | v2 |      64 bytes, one line
//
//   A tag is the stamp of the turn that wrote the version. `tag_void` and `tag_staged` lie above
//   every stamp, so they are never valid; 0 would pass for a first version.
//
// Ordering:
//   C1 What was stored before publish(v) is seen by whoever observed v.
//   C2 current(c) names the version with the largest tag <= c; a stored turn becomes visible by the
//      commit word alone, whatever order the tags were stored in.
//   C3 read() returns the values of one version, all of them of the turn its tag names: the writer
//      marks the spare version `staged` before it stores the first value and stores each value with
//      release; the reader loads each with acquire and then looks at the tag again.
//   C4 Marking is itself a release: whoever sees the old current version marked sees the tag of the
//      version that replaced it, and cannot fall back to an older one.
//   C5 read_at() returns the version that was current when the turn `bound`, or the last one below
//      it, had committed: versions with a tag <= bound are only lost from then on, none appears.
//
// Death: a writer killed while staging leaves the spare version tagged `staged` or with a stamp
//   above its commit word. wipe(c) by the next incarnation turns the latter into `tag_void`,
//   because a redone turn bears the same stamp and need not touch the record again.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace cyto {

template <class T>
class word {
 public:
  static_assert(std::atomic<T>::is_always_lock_free);

  [[nodiscard]] T own() const noexcept { return value_.load(std::memory_order_relaxed); }
  [[nodiscard]] T observe() const noexcept { return value_.load(std::memory_order_acquire); }
  void stage(T value) noexcept { value_.store(value, std::memory_order_relaxed); }
  void publish(T value) noexcept { value_.store(value, std::memory_order_release); }

 private:
  std::atomic<T> value_;
};

static_assert(sizeof(word<std::uint32_t>) == 4 && sizeof(word<std::uint64_t>) == 8);

// A number that another process might change meanwhile although it must not: read once, so that
// what was checked is what is used.
template <class T>
T read_once(const T& at) noexcept {
  return *static_cast<const volatile T*>(&at);
}

// Holds back the compiler only. Enough where the other side looks after the kernel has confirmed
// the writer's death: a killed process stops between two instructions and all its stores are seen.
inline void hold_back_compiler() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }

// Asks for a line that will be written: the core that has it gives it up meanwhile. (The builtin is
// a prefetch for reading where the compiler does not know that the processor has the other one; all
// of x86-64 take this instruction, the oldest as one that does nothing.)
inline void expect_to_write(const void* at) noexcept {
#if defined(__x86_64__)
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(at)));
#else
  __builtin_prefetch(at, 1);
#endif
}

inline constexpr std::uint64_t tag_void = ~std::uint64_t{0};
inline constexpr std::uint64_t tag_staged = tag_void - 1;

template <std::size_t N>
struct version {
  word<std::uint64_t> tag;
  word<std::uint64_t> value[N];
};

template <std::size_t N>
class versioned {
 public:
  using values = std::array<std::uint64_t, N>;
  static constexpr unsigned none = 2;

  // The version with the largest tag <= `commit`, or `none` (only in corrupted memory).
  [[nodiscard]] unsigned current(std::uint64_t commit) const noexcept {
    const std::uint64_t first = version_[0].tag.observe();
    const std::uint64_t second = version_[1].tag.observe();
    if (first <= commit && (second > commit || first >= second)) return 0;
    return second <= commit ? 1 : none;
  }

  // The owner's view: no other process writes.
  [[nodiscard]] values own(unsigned index) const noexcept {
    values out;
#pragma GCC unroll 8
    for (std::size_t i = 0; i < N; ++i) out[i] = version_[index & 1].value[i].own();
    return out;
  }
  [[nodiscard]] values own_current(std::uint64_t commit) const noexcept {
    const unsigned index = current(commit);
    return index == none ? values{} : own(index);
  }
  [[nodiscard]] bool is_staged(unsigned index) const noexcept {
    return version_[index & 1].tag.own() == tag_staged;
  }
  // The version that is being written, or `none`.
  [[nodiscard]] unsigned staged() const noexcept {
    if (is_staged(0)) return 0;
    return is_staged(1) ? 1 : none;
  }
  [[nodiscard]] std::uint64_t tag(unsigned index) const noexcept {
    return version_[index & 1].tag.observe();
  }

  // In zeroed memory, before anybody else sees it: what holds at commit 0.
  void begin(const values& in) noexcept {
    for (std::size_t i = 0; i < N; ++i) version_[0].value[i].stage(in[i]);
  }
  // Writes the version that is not current; it stays invalid until seal().
  void stage(unsigned spare, const values& in) noexcept {
    version<N>& to = version_[spare & 1];
    to.tag.publish(tag_staged);  // C4
#pragma GCC unroll 8
    for (std::size_t i = 0; i < N; ++i) to.value[i].publish(in[i]);  // C3
  }
  // Tags the staged version with the stamp of the turn that is about to commit.
  void seal(unsigned spare, std::uint64_t stamp) noexcept { version_[spare & 1].tag.stage(stamp); }

  // Makes every version above `commit` invalid for good. Idempotent.
  void wipe(std::uint64_t commit) noexcept {
    for (auto& each : version_) {
      if (each.tag.own() > commit) each.tag.publish(tag_void);
    }
  }

  // Another process' consistent look. `commit` is read again on each try; false when the writer was
  // faster `tries` times in a row. `seen` gets the commit word the values belong to.
  bool read(const word<std::uint64_t>& commit, values& out, std::uint64_t& seen,
            unsigned tries = 1000) const noexcept {
    for (; tries > 0; --tries) {
      seen = commit.observe();
      const unsigned index = current(seen);
      if (index == none) continue;
      const std::uint64_t before = version_[index].tag.observe();
      if (before > seen) continue;
      for (std::size_t i = 0; i < N; ++i) out[i] = version_[index].value[i].observe();  // C3
      if (version_[index].tag.observe() == before) return true;
    }
    return false;
  }

  // The same as of an earlier turn: the version with the largest tag <= `bound`. False: it has been
  // replaced twice, or is about to be, and is gone for good. REQUIRES: the caller has observed a
  // commit word of its owner that is not below `bound`.
  bool read_at(std::uint64_t bound, values& out, std::uint64_t& tag) const noexcept {
    const unsigned index = current(bound);
    if (index == none) return false;
    tag = version_[index].tag.observe();
    if (tag > bound) return false;
    for (std::size_t i = 0; i < N; ++i) out[i] = version_[index].value[i].observe();  // C3
    return version_[index].tag.observe() == tag;
  }

 private:
  version<N> version_[2];
};

static_assert(sizeof(versioned<3>) == 64 && sizeof(versioned<7>) == 128);

// A record of three words as its owner's turns see and change it: it is part of them.
class account {
 public:
  using values = versioned<3>::values;

  account() = default;
  account(versioned<3>& of, std::uint64_t commit) noexcept
      : of_(&of),
        spare_(1 - (of.current(commit) & 1)),
        committed_(of.own_current(commit)),
        now_(committed_) {}

  [[nodiscard]] const values& now() const noexcept { return now_; }
  void set(const values& to) noexcept {
    now_ = to;
    has_changed_ = true;
  }
  [[nodiscard]] bool has_changed() const noexcept { return has_changed_; }
  // Ends of a turn: seal, before the commit word; or forget.
  void seal(std::uint64_t stamp) noexcept {
    of_->stage(spare_, now_);
    of_->seal(spare_, stamp);
    spare_ = 1 - spare_;
    committed_ = now_;
    has_changed_ = false;
  }
  void forget() noexcept {
    now_ = committed_;
    has_changed_ = false;
  }

 private:
  versioned<3>* of_ = nullptr;
  unsigned spare_ = 0;
  bool has_changed_ = false;
  values committed_{};
  values now_{};
};

}  // namespace cyto
