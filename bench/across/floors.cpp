// What nothing can be faster than on this machine: the least that must move.
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "across/cases.hpp"
#include "across/shared_memory.hpp"
#include "cyto/types.hpp"

namespace cyto::bench {
namespace {

using flag = word<std::uint64_t>;

// A payload and a flag for each direction. The flag is the last word of the payload's line, or
// has a line of its own before it.
class flag_link {
 public:
  explicit flag_link(std::size_t bytes)
      : bytes_(bytes),
        is_one_line_(bytes + sizeof(flag) <= line_bytes),
        memory_(2 * (bytes + 2 * line_bytes)) {}

  class end {
   public:
    end(const flag_link& of, bool is_near) : bytes_(of.bytes_) {
      const std::size_t half = round_up(bytes_, line_bytes) + line_bytes;
      auto* out = of.memory_.at<std::byte>(is_near ? 0 : half);
      auto* in = of.memory_.at<std::byte>(is_near ? half : 0);
      const std::size_t flag_at = of.is_one_line_ ? line_bytes - sizeof(flag) : 0;
      const std::size_t payload_at = of.is_one_line_ ? 0 : line_bytes;
      out_flag_ = reinterpret_cast<flag*>(out + flag_at);
      in_flag_ = reinterpret_cast<flag*>(in + flag_at);
      out_ = out + payload_at;
      in_ = in + payload_at;
    }
    void send(std::uint64_t number) noexcept {
      write_payload(out_, bytes_, number);
      out_flag_->publish(++sent_);
    }
    std::uint64_t receive() noexcept {
      ++received_;
      while (in_flag_->observe() != received_) relax();
      return read_payload(in_, bytes_);
    }

   private:
    std::size_t bytes_;
    flag* out_flag_;
    flag* in_flag_;
    std::byte* out_;
    std::byte* in_;
    std::uint64_t sent_ = 0;
    std::uint64_t received_ = 0;
  };
  end near() { return {*this, true}; }
  end far() { return {*this, false}; }

 private:
  std::size_t bytes_;
  bool is_one_line_;
  shared_memory memory_;
};

// A ring of slots of fixed size, each with its number in its own first line: the fastest queue of
// one writer and one reader that we know, and nothing but fast. The reader says rarely how far it
// has come.
class ring_link {
 public:
  ring_link(std::size_t bytes, std::size_t slots)
      : bytes_(bytes),
        slot_bytes_(round_up(bytes + sizeof(flag), line_bytes)),
        slots_(slots),
        memory_(2 * (line_bytes + slots * slot_bytes_)) {}

  class end {
   public:
    end(const ring_link& of, bool is_near)
        : bytes_(of.bytes_), slot_bytes_(of.slot_bytes_), slots_(of.slots_) {
      const std::size_t half = line_bytes + slots_ * slot_bytes_;
      out_ = of.memory_.at<std::byte>(is_near ? 0 : half);
      in_ = of.memory_.at<std::byte>(is_near ? half : 0);
    }
    void send(std::uint64_t number) noexcept {
      while (sent_ - freed_seen_ == slots_) {
        freed_seen_ = reinterpret_cast<flag*>(out_)->observe();
      }
      std::byte* slot = out_ + line_bytes + (sent_ & (slots_ - 1)) * slot_bytes_;
      write_payload(slot + sizeof(flag), bytes_, number);
      reinterpret_cast<flag*>(slot)->publish(++sent_);
    }
    std::uint64_t receive() noexcept {
      std::byte* slot = in_ + line_bytes + (received_ & (slots_ - 1)) * slot_bytes_;
      ++received_;
      while (reinterpret_cast<flag*>(slot)->observe() != received_) relax();
      const std::uint64_t number = read_payload(slot + sizeof(flag), bytes_);
      if ((received_ & (slots_ / 4 - 1)) == 0) {
        reinterpret_cast<flag*>(in_)->publish(received_);
      }
      return number;
    }
    void finish() noexcept {}

   private:
    std::size_t bytes_;
    std::size_t slot_bytes_;
    std::size_t slots_;
    std::byte* out_;
    std::byte* in_;
    std::uint64_t sent_ = 0;
    std::uint64_t received_ = 0;
    std::uint64_t freed_seen_ = 0;
  };
  end near() { return {*this, true}; }
  end far() { return {*this, false}; }

 private:
  std::size_t bytes_;
  std::size_t slot_bytes_;
  std::size_t slots_;
  shared_memory memory_;
};

// A word on which the other process sleeps in the kernel.
class futex_link {
 public:
  futex_link() : memory_(2 * line_bytes) {}

  class end {
   public:
    end(const shared_memory& memory, bool is_near)
        : out_(memory.at<message>(is_near ? 0 : line_bytes)),
          in_(memory.at<message>(is_near ? line_bytes : 0)) {}
    void send(std::uint64_t number) noexcept {
      out_->number.stage(number);
      out_->flag.publish(++sent_);
      syscall(SYS_futex, &out_->flag, FUTEX_WAKE, 1, nullptr, nullptr, 0);
    }
    std::uint64_t receive() noexcept {
      ++received_;
      while (in_->flag.observe() != received_) {
        syscall(SYS_futex, &in_->flag, FUTEX_WAIT, received_ - 1, nullptr, nullptr, 0);
      }
      return in_->number.own();
    }

   private:
    struct message {
      word<std::uint32_t> flag;
      word<std::uint64_t> number;
    };
    message* out_;
    message* in_;
    std::uint32_t sent_ = 0;
    std::uint32_t received_ = 0;
  };
  end near() { return {memory_, true}; }
  end far() { return {memory_, false}; }

 private:
  shared_memory memory_;
};

// Copies within one process, of memory that the other one leaves alone.
sample copies(const pace& how, std::size_t bytes) {
  const auto near = [&](tally& out, const std::function<void()>& begin) {
    std::vector<std::byte> from(bytes, std::byte{1});
    std::vector<std::byte> to(bytes);
    begin();
    out.began_ticks = ticks();
    const std::uint64_t until = out.began_ticks + ticks_of_ns(how.seconds * 1e9);
    for (std::uint64_t before = out.began_ticks; before < until;) {
      std::memcpy(to.data(), from.data(), bytes);
      asm volatile("" : : "r"(to.data()) : "memory");
      const std::uint64_t now = ticks();
      out.times.add(now - before);
      before = out.ended_ticks = now;
    }
    out.count = out.times.count();
  };
  const auto far = [](tally&, const std::function<void()>& begin) { begin(); };
  const duet_result found = play(how.where, near, far, how.limit_s);
  return sample_of(found, *found.near);
}

}  // namespace

void add_floors(std::vector<test_case>& to) {
  to.push_back(
      {"floor", "line", "spin", 48, figure::round_p50, {}, rounds<flag_link>(std::size_t{48})});
  for (const std::size_t bytes : {56U, 248U, 1024U}) {
    to.push_back({"floor",
                  "ring",
                  "spin",
                  bytes,
                  figure::round_p50,
                  {},
                  rounds<ring_link>(bytes, std::size_t{64})});
  }
  for (const std::size_t bytes : {std::size_t{64} << 10, std::size_t{1} << 20}) {
    to.push_back(
        {"floor", "buffer", "spin", bytes, figure::round_p50, {}, rounds<flag_link>(bytes)});
  }
  to.push_back({"floor",
                "stream",
                "spin",
                48,
                figure::per_second,
                {},
                stream<ring_link>(std::size_t{48}, std::size_t{4096})});
  to.push_back({"floor", "futex", "park", 8, figure::round_p50, {}, rounds<futex_link>()});
  for (const std::size_t bytes : {std::size_t{64} << 10, std::size_t{1} << 20}) {
    to.push_back(
        {"floor", "memcpy", "spin", bytes, figure::round_p50, {}, [bytes](const pace& how) {
           return copies(how, bytes);
         }});
  }
}

}  // namespace cyto::bench
