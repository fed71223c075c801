// What one turn consists of, in one thread: everything stays in this core's cache, so that what is
// counted is instructions and not the way between cores.
#include <benchmark/benchmark.h>

#include "across/messages.hpp"
#include "across/system.hpp"

namespace cyto::bench {
namespace {

constexpr std::uint64_t lane_bytes = 64 << 10;

// Both ends of a lane in one process.
struct both_ends {
  explicit both_ends(std::uint64_t bytes = lane_bytes, std::uint32_t silent = 0,
                     bool is_traced = false)
      : where(make_system(bytes, silent, is_traced)), near(where, true), far(where, false) {}
  segment where;
  player_slot near;
  player_slot far;
};

void check(benchmark::State& state, bool sound) {
  if (!sound) state.SkipWithError("a message was not what was sent");
}

// A record written, published and taken again, without turns.
void lane_record(benchmark::State& state) {
  both_ends ends;
  lane_writer& out = ends.near.out().lane;
  lane_reader& in = ends.far.in().lane;
  std::byte payload[48] = {};
  std::uint64_t stamp = ends.near.the_turn().commit_word();
  message_view view;
  for (auto _ : state) {
    out.append(payload, sizeof payload, 1, false);
    out.seal(++stamp);
    ends.near.held().own().commit.publish(stamp);
    hold_back_compiler();
    out.announce(stamp);
    check(state, in.peek(view) == look::message);
    in.take(view);
    in.give_back();
  }
}
BENCHMARK(lane_record);

// The whole turn: take, change a cell, send, commit; on both sides, so halve it.
template <class Message, bool is_traced = false>
void two_turns(benchmark::State& state) {
  both_ends ends(lane_bytes, 0, is_traced);
  Message message(static_cast<std::size_t>(state.range(0)));
  message_view view;
  std::uint64_t number = 0;
  const auto turn_of = [&](player_slot& who) {
    mailbox& incoming = who.held().incoming();
    if (turn_input* from = incoming.next(view); from != nullptr) {
      who.the_turn().take(*from, view);
      check(state, Message::read(view) == number);
      who.cell().add(who.the_turn(), 1);
      turn::consume(*from, view);
      incoming.taken(*from);
    }
    static_cast<void>(message.send(who.the_turn(), who.out(), ++number));
    who.the_turn().commit();
  };
  turn_of(ends.near);
  for (auto _ : state) {
    turn_of(ends.far);
    turn_of(ends.near);
  }
}
BENCHMARK(two_turns<raw_message>)->Arg(48)->Arg(248)->Arg(1024);
// While somebody traces.
BENCHMARK(two_turns<raw_message, true>)->Arg(48);
BENCHMARK(two_turns<built56>)->Arg(56);
BENCHMARK(two_turns<built248>)->Arg(248);
BENCHMARK(two_turns<built_words>)->Arg(1024)->Arg(64 << 10);
BENCHMARK(two_turns<many_rows<true>>)->Arg(1024)->Arg(63 << 10);
BENCHMARK(two_turns<many_rows<false>>)->Arg(1024)->Arg(63 << 10);

// A look over lanes of which none has anything.
void mailbox_scan(benchmark::State& state) {
  both_ends ends(lane_bytes, static_cast<std::uint32_t>(state.range(0)) - 1);
  message_view view;
  for (auto _ : state) benchmark::DoNotOptimize(ends.far.held().incoming().next(view));
}
BENCHMARK(mailbox_scan)->Arg(1)->Arg(4)->Arg(16)->Arg(64)->Arg(254);

// A builder alone, and the verifier alone.
void build56(benchmark::State& state) {
  both_ends ends;
  message_builder builder;
  for (auto _ : state) {
    auto& fbb = builder.begin(ends.near.out().lane);
    fbb.Finish(CreateMessage56(fbb, 1, 2, 3, 4));
    benchmark::DoNotOptimize(fbb.GetBufferPointer());
  }
}
BENCHMARK(build56);

void verify56(benchmark::State& state) {
  flatbuffers::FlatBufferBuilder fbb;
  fbb.Finish(CreateMessage56(fbb, 1, 2, 3, 4));
  alignas(64) std::byte bytes[64];
  std::memcpy(bytes, fbb.GetBufferPointer(), fbb.GetSize());
  const message_view view = {bytes, fbb.GetSize(), 0, 0, 0};
  for (auto _ : state) benchmark::DoNotOptimize(open_message<Message56>(view));
  state.counters["bytes"] = fbb.GetSize();
}
BENCHMARK(verify56);

template <bool is_verified>
void open_rows(benchmark::State& state) {
  const many_rows<is_verified> message(static_cast<std::size_t>(state.range(0)));
  const message_view view = message.view();
  for (auto _ : state) benchmark::DoNotOptimize(open_message<Rows>(view, is_verified));
  state.counters["bytes"] = view.size;
}
BENCHMARK(open_rows<true>)->Arg(1024)->Arg(63 << 10);
BENCHMARK(open_rows<false>)->Arg(1024)->Arg(63 << 10);

// A merge into a cell, and the turn that makes it visible.
void merge_counter(benchmark::State& state) {
  both_ends ends;
  for (auto _ : state) {
    ends.near.cell().add(ends.near.the_turn(), 1);
    ends.near.the_turn().commit();
  }
}
BENCHMARK(merge_counter);

}  // namespace
}  // namespace cyto::bench
