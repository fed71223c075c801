// Workers hand amounts to each other for as long as they can; whatever a snapshot finds, nothing is
// missing and nothing is there twice. A reader that takes one cell after the other finds both.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "support/actor.hpp"
#include "support/inquiry.hpp"
#include "support/must.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {
namespace {

constexpr unsigned worker_count = 4;
constexpr std::uint64_t first_balance = 1000;

// Everybody has a lane to everybody else.
std::vector<std::pair<unsigned, unsigned>> all_to_all() {
  std::vector<std::pair<unsigned, unsigned>> out;
  for (unsigned from = 0; from < worker_count; ++from) {
    for (unsigned to = 0; to < worker_count; ++to) {
      if (from != to) out.emplace_back(from, to);
    }
  }
  return out;
}

class stop_word {
 public:
  stop_word()
      : place_(::mmap(nullptr, sizeof(word<std::uint64_t>), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (place_ == MAP_FAILED) throw std::bad_alloc();
    new (place_) word<std::uint64_t>{};
  }
  stop_word(const stop_word&) = delete;
  stop_word& operator=(const stop_word&) = delete;
  ~stop_word() { ::munmap(place_, sizeof(word<std::uint64_t>)); }
  word<std::uint64_t>* operator->() const { return static_cast<word<std::uint64_t>*>(place_); }

 private:
  void* place_;
};

class bank {
 public:
  bank(const segment& where, unsigned index) : place_(where, index), random_(index + 1) {
    balance_ = place_.cells().cell<last_writer>("balance");
    for (unsigned i = 0; i < worker_count; ++i) {
      given_[i] = place_.cells().cell<counter>("given " + std::to_string(i));
      got_[i] = place_.cells().cell<counter>("got " + std::to_string(i));
    }
    if (place_.own().turns.own() == 0) balance_.set(place_.the_turn(), first_balance);
    place_.the_turn().commit();
  }
  void receive() {
    turn& now = place_.the_turn();
    message_view view;
    bool any = false;
    for (int i = 0; i < 4; ++i) {
      turn_input* from = place_.incoming().next(view);
      if (from == nullptr) break;
      any = true;
      now.take(*from, view);
      std::uint64_t amount = 0;
      std::memcpy(&amount, view.data, sizeof amount);
      balance_.set(now, balance_.value() + amount);
      got_[from->writer_slot].add(now, amount);
      turn::consume(*from, view);
      place_.incoming().taken(*from);
    }
    if (any) now.commit();
  }
  void give() {
    turn& now = place_.the_turn();
    now.begin_source();
    random_ = random_ * 6364136223846793005ULL + 1442695040888963407ULL;
    const auto& outputs = now.outputs();
    turn_output& to = *outputs[(random_ >> 33) % outputs.size()];
    const std::uint64_t amount = (random_ >> 40) % (balance_.value() + 1);
    if (now.send_bytes(to, &amount, sizeof amount, raw_kind, 8) != status::ok) {
      now.abort();
      return;
    }
    balance_.set(now, balance_.value() - amount);
    given_[to.reader_slot].add(now, amount);
    now.commit();
  }

 private:
  slot place_;
  std::uint64_t random_;
  last_writer balance_;
  std::array<counter, worker_count> given_;
  std::array<counter, worker_count> got_;
};

// In the order in which ledger() reads them.
std::vector<cell_place> places_of(const segment& where) {
  std::vector<cell_place> out;
  for (unsigned i = 0; i < worker_count; ++i) {
    const std::string name(where.slot(i).name);
    out.push_back(*find_cell(where, name, "balance"));
    for (const char* what : {"given ", "got "}) {
      for (unsigned j = 0; j < worker_count; ++j) {
        out.push_back(*find_cell(where, name, what + std::to_string(j)));
      }
    }
  }
  return out;
}

// Empty if the books balance.
template <class Value>
std::string audit(Value value) {
  constexpr std::size_t stride = 1 + 2 * worker_count;
  std::uint64_t sum = 0;
  for (unsigned i = 0; i < worker_count; ++i) {
    sum += value(i * stride)[1];
    for (unsigned j = 0; j < worker_count; ++j) {
      const std::uint64_t given = value(i * stride + 1 + j)[0];
      const std::uint64_t got = value(j * stride + 1 + worker_count + i)[0];
      if (got > given) return "got what was not given";
      sum += given - got;
    }
  }
  if (sum == worker_count * first_balance) return {};
  return "there are " + std::to_string(sum);
}

TEST(SnapshotStress, TheSumIsTheSameInEverySnapshot) {
  const watchdog guard(std::chrono::seconds(200), name_of_test());
  const small_system system({"w/0", "w/1", "w/2", "w/3"}, all_to_all());
  const stop_word stop;
  std::vector<std::unique_ptr<actor>> workers;
  for (unsigned i = 0; i < worker_count; ++i) {
    workers.push_back(std::make_unique<actor>([&, i](const line& to_test) {
      bank mine(system.where, i);
      to_test.say(1);
      static_cast<void>(to_test.hear());
      while (stop->observe() == 0) {
        mine.receive();
        mine.give();
      }
    }));
    ASSERT_EQ(workers.back()->hear(), 1U);
  }
  const std::vector<cell_place> places = places_of(system.where);
  snapshot cut(system.where, places);
  for (const auto& each : workers) each->say(1);

  // Of these many are of a state that the one before has not seen.
  const int wanted = is_full() ? 1'000'000 : sanitized ? 2'000 : 50'000;
  int taken = 0;
  int refused = 0;
  std::uint64_t failures = 0;
  std::uint64_t last_stamp = 0;
  std::uint64_t moved = 0;
  const auto value_of = [&](std::size_t i) { return cut.value(i); };
  for (; taken < wanted || moved < static_cast<std::uint64_t>(wanted) / 50; ++taken) {
    while (!cut.take()) ++refused;
    failures += cut.failures();
    ASSERT_EQ(audit(value_of), "") << "snapshot " << taken;
    ASSERT_GE(cut.stamp(), last_stamp);
    moved += cut.stamp() != last_stamp ? 1U : 0U;
    last_stamp = cut.stamp();
  }
  // The control: each cell by itself is right, all of them together are not.
  std::uint64_t naive = 0;
  std::string naive_says;
  while (naive_says.empty()) {
    ++naive;
    std::vector<cell_value> values(places.size());
    for (std::size_t i = 0; i < places.size(); ++i) {
      std::uint64_t seen = 0;
      const auto& cell = *system.where.at<cell_record>(
          system.where.slot(places[i].slot_index).arena_offset + places[i].arena_offset);
      cell.value.read(system.where.control_of(places[i].slot_index).commit, values[i], seen);
    }
    naive_says = audit([&](std::size_t i) { return values[i]; });
  }
  stop->publish(1);
  for (const auto& each : workers) EXPECT_EQ(each->end(), 0);
  std::printf(
      "%d snapshots of %zu cells, at %llu stamps, %llu begun anew, %d refused; one cell "
      "after the other: %s, after %llu\n",
      taken, places.size(), static_cast<unsigned long long>(moved),
      static_cast<unsigned long long>(failures), refused, naive_says.c_str(),
      static_cast<unsigned long long>(naive));
  ASSERT_TRUE(cut.take(1));
  EXPECT_EQ(audit(value_of), "");
}

}  // namespace
}  // namespace cyto::test
