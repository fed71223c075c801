// Many threads before one port: the queue, the flag, and who is responsible for what.
//
// A sender                                 Whoever has the flag, the pumper
//   s1 puts its message into the queue       p1 stages and commits what the queue has
//   s2 full fence                            p2 gives the flag back
//   s3 looks at the flag                     p3 full fence
//      free: takes it, is the pumper         p4 looks at the queue again
//      taken: goes its way                      something: from s3 on
//                                               nothing: goes its way
//
// A sender that went its way has somebody who commits its message. It read the flag as a pumper
// held it, so before that pumper's p2 in the order of the flag's values. Had p3 come before s2 in
// the one order of all full fences, s3 would have read what p2 wrote, or something later. So s2
// came before p3, and p4 sees what s1 wrote. If p4 finds the flag taken again, the same holds for
// the one who has it now, whose p2 is later still.
//
// A pumper that finds the lane full keeps what it has taken out of the queue, in order, and does
// not look again: nobody could send now. The next who comes by begins with that.
#include "cyto/shared_port.hpp"

#include <concurrentqueue/concurrentqueue.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <condition_variable>
#include <mutex>
#include <new>
#include <vector>

#include "cyto/doorbell.hpp"
#include "cyto/error.hpp"

namespace cyto {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::uint32_t waiting_max_max = 1U << 20;
constexpr std::size_t batch_max = 64;  // Messages of one turn.
constexpr unsigned class_min = 6;      // Blocks of 64 bytes, 128, and so on to 2 GiB.
constexpr unsigned class_count = 32;
// How long others' messages may wait for one who waits for the reader.
constexpr auto drain_slice = milliseconds(1);

milliseconds rest(clock::time_point deadline) {
  return std::max(std::chrono::ceil<milliseconds>(deadline - clock::now()), milliseconds(0));
}

struct block;

// Asks the C++ heap, which a program may have replaced, as everything here does.
struct queue_traits : moodycamel::ConcurrentQueueDefaultTraits {
  static void* malloc(std::size_t bytes) { return ::operator new(bytes, std::nothrow); }
  static void free(void* at) { ::operator delete(at); }
};

using queue = moodycamel::ConcurrentQueue<block*, queue_traits>;

}  // namespace

// What one producer has. Whoever uses it comes and goes; messages and blocks stay.
struct shared_port::place {
  explicit place(queue& of) : token(of) {}
  place(const place&) = delete;
  place& operator=(const place&) = delete;
  ~place();

  block* take(std::uint32_t bytes) noexcept;
  void keep(block* chain) noexcept;

  moodycamel::ProducerToken token;
  std::uint64_t put_count = 0;
  std::array<block*, class_count> spare{};  // Of each size, a list.
  // The pumper's side.
  alignas(line_bytes) std::atomic<std::uint64_t> committed_count = 0;
  std::atomic<block*> returned = nullptr;  // A stack: pushed by the pumper, emptied by its owner.
};

namespace {

// A message under way; its bytes stand behind it.
struct alignas(16) block {
  [[nodiscard]] std::byte* data() noexcept { return reinterpret_cast<std::byte*>(this + 1); }

  void* owner;
  block* next;
  std::uint32_t target;
  std::uint32_t bytes;
  std::uint32_t kind;
  std::uint8_t size_class;
  std::uint16_t alignment;
};

unsigned class_of(std::uint32_t bytes) noexcept {
  const auto width = static_cast<unsigned>(std::bit_width(bytes == 0 ? 0U : bytes - 1));
  return std::max(width, class_min);
}

void free_chain(block* chain) noexcept {
  while (chain != nullptr) ::operator delete(std::exchange(chain, chain->next));
}

}  // namespace

shared_port::place::~place() {
  for (block* each : spare) free_chain(each);
  free_chain(returned.load());
}

void shared_port::place::keep(block* chain) noexcept {
  while (chain != nullptr) {
    block* each = std::exchange(chain, chain->next);
    each->next = std::exchange(spare[each->size_class], each);
  }
}

block* shared_port::place::take(std::uint32_t bytes) noexcept {
  const unsigned size_class = class_of(bytes);
  if (spare[size_class] == nullptr) keep(returned.exchange(nullptr));
  if (block* out = spare[size_class]; out != nullptr) {
    spare[size_class] = out->next;
    return out;
  }
  void* memory = ::operator new(sizeof(block) + (std::size_t{1} << size_class), std::nothrow);
  if (memory == nullptr) return nullptr;
  auto* out = new (memory) block;
  out->owner = this;
  out->size_class = static_cast<std::uint8_t>(size_class);
  return out;
}

struct shared_port::core {
  core(std::unique_ptr<outlet> where, const shared_port_options& how)
      : to(std::move(where)), options(how), token(all) {}
  core(const core&) = delete;
  core& operator=(const core&) = delete;
  ~core();

  [[nodiscard]] bool is_child() const noexcept { return ::getpid() != pid; }
  status put(place& mine, std::uint32_t target, const void* data, std::uint32_t bytes,
             std::uint32_t kind, std::size_t alignment) noexcept;
  void pump() noexcept;
  bool flush(const place& mine, time_limit at_most);
  bool drain(time_limit at_most);

  bool take_flag() noexcept { return !busy.load() && !busy.exchange(true); }
  void give_flag() noexcept;
  void tell_waiters() noexcept;
  // Waits until the flag is free or `done` says so.
  template <class Done>
  void wait_for_flag(const Done& done, milliseconds at_most);
  // With the flag:
  bool send_all() noexcept;
  bool send_batch() noexcept;
  std::size_t stage(std::size_t count) noexcept;
  void give_back(std::size_t count) noexcept;

  std::unique_ptr<outlet> to;
  shared_port_options options;
  pid_t pid = ::getpid();
  queue all;
  // Of whoever has the flag.
  alignas(line_bytes) std::atomic<bool> busy = false;
  moodycamel::ConsumerToken token;
  std::array<block*, batch_max> batch{};
  std::size_t first = 0;  // Of the batch, what is left from here...
  std::size_t last = 0;   // ...to here.
  std::atomic<bool> closed = false;
  // Of those who wait: for the flag, or until somebody has committed for them.
  std::atomic<std::uint32_t> waiters = 0;
  std::mutex waiting;
  std::condition_variable moved;
  // Of those who come and go.
  std::mutex coming;
  std::vector<std::unique_ptr<place>> places;
  std::vector<place*> vacant;  // Room for all of them is reserved.
};

shared_port::core::~core() {
  if (!is_child()) pump();
  do {
    for (; first != last; ++first) ::operator delete(batch[first]);
    first = 0;
    last = all.try_dequeue_bulk(token, batch.begin(), batch_max);
  } while (last != 0);
}

status shared_port::core::put(place& mine, std::uint32_t target, const void* data,
                              std::uint32_t bytes, std::uint32_t kind,
                              std::size_t alignment) noexcept {
  if (!to->fits(target, bytes, alignment)) return status::too_big;
  const auto is_full = [&] {
    return mine.put_count - mine.committed_count.load() >= options.waiting_max;
  };
  if (is_full()) [[unlikely]] {
    pump();
    if (is_full()) return closed.load() ? status::closed : status::full;
  }
  block* message = mine.take(bytes);
  if (message == nullptr) return status::full;
  message->target = target;
  message->bytes = bytes;
  message->kind = kind;
  message->alignment = static_cast<std::uint16_t>(alignment);
  std::memcpy(message->data(), data, bytes);
  if (!all.enqueue(mine.token, message)) {  // s1
    message->next = nullptr;
    mine.keep(message);
    return status::full;
  }
  ++mine.put_count;
  return status::ok;
}

void shared_port::core::pump() noexcept {
  full_fence();  // H2: s2
  while (take_flag()) {
    const bool all_went = send_all();
    give_flag();
    if (!all_went || all.size_approx() == 0) return;  // p4
  }
}

void shared_port::core::give_flag() noexcept {
  busy.store(false);  // p2
  full_fence();       // H2: p3
  tell_waiters();
}

void shared_port::core::tell_waiters() noexcept {
  if (waiters.load() == 0) [[likely]]
    return;
  // Whoever has looked and does not sleep yet holds the lock.
  { const std::lock_guard lock(waiting); }
  moved.notify_all();
}

template <class Done>
void shared_port::core::wait_for_flag(const Done& done, milliseconds at_most) {
  std::unique_lock lock(waiting);
  waiters.fetch_add(1);
  moved.wait_for(lock, at_most, [&] { return done() || !busy.load(); });
  waiters.fetch_sub(1);
}

bool shared_port::core::send_all() noexcept {
  for (;;) {
    if (first == last) {
      first = 0;
      last = all.try_dequeue_bulk(token, batch.begin(), batch_max);
      if (last == 0) return true;
    }
    if (!send_batch()) return false;
  }
}

// Commits as much of the batch as there is room for. Returns whether that was all.
bool shared_port::core::send_batch() noexcept {
  std::size_t count = last - first;
  // A turn that found no room is undone as a whole; what went in before goes in again.
  for (;;) {
    const std::size_t staged = stage(count);
    if (staged == count) break;
    closed.store(to->abort() == status::closed);
    count = staged;
    if (count == 0) return false;
  }
  to->commit();
  give_back(count);
  return first == last;
}

std::size_t shared_port::core::stage(std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    block& each = *batch[first + i];
    const status staged =
        to->stage(each.target, each.data(), each.bytes, each.kind, each.alignment);
    if (staged != status::ok) return i;
  }
  return count;
}

// Blocks of one producer that stand together go back together. H1: its count is told last.
void shared_port::core::give_back(std::size_t count) noexcept {
  const std::size_t until = first + count;
  while (first != until) {
    block* chain = batch[first];
    auto* owner = static_cast<place*>(chain->owner);
    block* const bottom = chain;
    std::uint64_t of_owner = 1;
    for (++first; first != until && batch[first]->owner == owner; ++first, ++of_owner) {
      block* each = batch[first];
      each->next = std::exchange(chain, each);
    }
    bottom->next = owner->returned.load();
    while (!owner->returned.compare_exchange_weak(bottom->next, chain)) {
    }
    owner->committed_count.fetch_add(of_owner);
  }
  tell_waiters();
}

bool shared_port::core::flush(const place& mine, time_limit at_most) {
  if (is_child()) return false;
  const auto deadline = clock::now() + milliseconds(at_most.ms());
  const auto done = [&] { return mine.committed_count.load() == mine.put_count; };
  for (;;) {
    pump();
    if (done()) return true;
    const milliseconds left = rest(deadline);
    if (left.count() == 0 || closed.load()) return false;
    if (take_flag()) {
      if (!send_all()) to->wait_for_room(left);
      give_flag();
    } else {
      wait_for_flag(done, left);
    }
  }
}

bool shared_port::core::drain(time_limit at_most) {
  if (is_child()) return false;
  const auto deadline = clock::now() + milliseconds(at_most.ms());
  for (;;) {
    const milliseconds left = rest(deadline);
    status taken = status::full;
    if (take_flag()) {
      if (!send_all()) {
        to->wait_for_room(std::min(left, drain_slice));
      } else {
        taken = to->drain(std::min(left, drain_slice));
      }
      give_flag();
      pump();
    } else {
      wait_for_flag([] { return false; }, left);
    }
    if (taken == status::ok) return true;
    if (left.count() == 0 || taken == status::closed || closed.load()) return false;
  }
}

shared_port::shared_port(std::unique_ptr<outlet> to, const shared_port_options& options) {
  if (options.waiting_max == 0 || options.waiting_max > waiting_max_max) {
    throw error(error_code::bad_input, "shared port",
                "waiting_max is " + std::to_string(options.waiting_max) + ", of 1 to " +
                    std::to_string(waiting_max_max),
                {}, "choose one in between");
  }
  core_ = std::make_shared<core>(std::move(to), options);
}

shared_port::shared_port(shared_port&&) noexcept = default;
shared_port& shared_port::operator=(shared_port&&) noexcept = default;
shared_port::~shared_port() = default;

shared_port::producer shared_port::join() const {
  if (core_->is_child()) {
    throw error(error_code::failed, "shared port",
                "was opened by process " + std::to_string(core_->pid),
                "this process was forked from it", "open one here");
  }
  const std::lock_guard lock(core_->coming);
  if (core_->vacant.empty()) {
    core_->vacant.reserve(core_->places.size() + 1);
    core_->places.push_back(std::make_unique<place>(core_->all));
    core_->vacant.push_back(core_->places.back().get());
  }
  place* mine = core_->vacant.back();
  core_->vacant.pop_back();
  return {core_, *mine};
}

bool shared_port::drain(time_limit at_most) const { return core_->drain(at_most); }

shared_port::producer::producer(std::shared_ptr<core> of, place& mine) noexcept
    : core_(std::move(of)), mine_(&mine) {}
shared_port::producer::producer(producer&&) noexcept = default;
shared_port::producer& shared_port::producer::operator=(producer&& other) noexcept {
  if (this == &other) return *this;
  leave();
  core_ = std::move(other.core_);
  mine_ = other.mine_;
  return *this;
}
shared_port::producer::~producer() { leave(); }

void shared_port::producer::leave() noexcept {
  if (!core_) return;
  const std::lock_guard lock(core_->coming);
  core_->vacant.push_back(mine_);
}

status shared_port::producer::send(std::uint32_t target, const void* data, std::uint32_t bytes,
                                   std::uint32_t kind, std::size_t alignment) noexcept {
  const status queued = put(target, data, bytes, kind, alignment);
  pump();
  return queued;
}

status shared_port::producer::put(std::uint32_t target, const void* data, std::uint32_t bytes,
                                  std::uint32_t kind, std::size_t alignment) noexcept {
  return core_->put(*mine_, target, data, bytes, kind, alignment);
}

void shared_port::producer::pump() noexcept { core_->pump(); }

bool shared_port::producer::flush(time_limit at_most) { return core_->flush(*mine_, at_most); }

}  // namespace cyto
