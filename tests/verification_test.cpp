// Whom a reader believes: with each policy, a message that is unsound in a way that does no harm:
// it has a string without the zero at its end, which the verifier sees and nobody else misses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cyto/observe.hpp"
#include "cyto/worker.hpp"
#include "support/files.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"
#include "tools/topology_file.hpp"
#include "trees_generated.h"

namespace cyto::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using tree::Node;
using numbers = std::vector<std::uint64_t>;

constexpr std::string_view node_text = "a text of some length";

prebuilt<Node> node(std::uint64_t number, bool is_sound) {
  prebuilt<Node> out([&](flatbuffers::FlatBufferBuilder& fbb) {
    return tree::CreateNode(fbb, number, fbb.CreateString(node_text.data(), node_text.size()));
  });
  auto* text = const_cast<char*>(out->text()->c_str());
  if (!is_sound) text[node_text.size()] = 'x';
  return out;
}

message_view view_of(const prebuilt<Node>& message) {
  return {static_cast<const std::byte*>(message.data()), message.size(), message_kind<Node>(), 0,
          0};
}

TEST(Verification, ATrustedMessageIsHandedOutAsItIs) {
  const auto sound = node(7, true);
  const auto broken = node(7, false);
  EXPECT_EQ(open_message<Node>(view_of(sound)), trust_message<Node>(view_of(sound)));
  EXPECT_EQ(open_message<Node>(view_of(broken)), nullptr);
  ASSERT_NE(trust_message<Node>(view_of(broken)), nullptr);
  EXPECT_EQ(trust_message<Node>(view_of(broken))->number(), 7U);
}

TEST(Verification, ATrustedMessageWhoseRootLiesOutsideIsRefusedAllTheSame) {
  alignas(line_bytes) std::byte bytes[64]{};
  for (const std::uint32_t root : {61U, 64U, 0x7fffffffU, 0xffffffffU}) {
    std::memcpy(bytes, &root, sizeof root);
    EXPECT_EQ(trust_message<Node>({bytes, sizeof bytes, 0, 0, 0}), nullptr) << root;
  }
  const std::uint32_t last = 60;
  std::memcpy(bytes, &last, sizeof last);
  EXPECT_NE(trust_message<Node>({bytes, sizeof bytes, 0, 0, 0}), nullptr);
  for (const std::uint32_t size : {0U, 3U, 7U}) {
    EXPECT_EQ(trust_message<Node>({bytes, size, 0, 0, 0}), nullptr) << size;
  }
}

// ---- a worker ----

struct heard {
  numbers from_left;
  bool left_is_shut = false;
};

constexpr std::uint64_t goodbye = 99;

void send_node(slot& from, std::uint64_t number, bool is_sound) {
  turn& in = from.the_turn();
  ASSERT_EQ(in.send(*in.outputs()[0], node(number, is_sound)), status::ok);
  in.commit();
}

// Slots 0 and 1 feed slot 2, a worker with that setting. What its handler gets of messages of slot
// 0, which are sound or not as `sound` has it, until all are taken or the lane is shut.
heard handled_by(const std::string& setting, const std::vector<bool>& sound,
                 std::uint32_t flags_of_left = 0) {
  const watchdog guard(seconds(60), "Verification");
  segment_plan plan = small_plan({"left", "right", "worker"}, {{0, 2}, {1, 2}});
  plan.slots[0].flags = flags_of_left;
  plan.slots[2].settings = setting;
  const segment where = segment::create(plan);
  const mapping board_pages = where.map_board();
  slot left(where, 0);
  slot right(where, 1);
  heard out;
  std::thread runs([&] {
    slot place(where, 2);
    worker self(place);
    self.on<Node>([&](const Node& message, turn& in) {
      if (message.number() != goodbye) out.from_left.push_back(message.number());
      EXPECT_EQ(in.slot_index(), 2U);
    });
    self.run(-1);
  });
  for (std::size_t i = 0; i < sound.size(); ++i) {
    send_node(left, i + 1, sound[i]);
    // One at a time: a turn that is aborted would hand out the ones before again.
    while (lanes_of(where)[0].accepted != lanes_of(where)[0].delivered &&
           !lanes_of(where)[0].fenced) {
      std::this_thread::yield();
    }
  }
  send_node(right, goodbye, true);
  while (lanes_of(where)[1].delivered == 0) std::this_thread::yield();
  out.left_is_shut = lanes_of(where)[0].fenced;
  auto* all = reinterpret_cast<board*>(board_pages.data());
  reinterpret_cast<board_slot*>(all + 1)[2].order.publish(
      static_cast<std::uint32_t>(system_phase::stopping));
  const mapping bells = where.map_doorbells();
  wake(reinterpret_cast<doorbell_line*>(bells.data())[2]);
  runs.join();
  return out;
}

TEST(Verification, AWorkerVerifiesEachMessageUnlessItIsTold) {
  for (const char* setting : {"", "verify of worker=always\n"}) {
    const heard seen = handled_by(setting, {true, false});
    EXPECT_EQ(seen.from_left, numbers{1});
    EXPECT_TRUE(seen.left_is_shut);
  }
}

TEST(Verification, AWorkerThatNeverVerifiesHandsOutWhatIsUnsound) {
  const heard seen = handled_by("verify of worker=never\n", {false, true, false});
  EXPECT_EQ(seen.from_left, (numbers{1, 2, 3}));
  EXPECT_FALSE(seen.left_is_shut);
}

TEST(Verification, AWorkerThatVerifiesTheFirstRefusesItAndBelievesThoseAfterASoundOne) {
  const heard first = handled_by("verify of worker=first\n", {false});
  EXPECT_EQ(first.from_left, numbers{});
  EXPECT_TRUE(first.left_is_shut);
  const heard later = handled_by("verify of worker=first\n", {true, false});
  EXPECT_EQ(later.from_left, (numbers{1, 2}));
  EXPECT_FALSE(later.left_is_shut);
}

TEST(Verification, WhatComesOutOfAPortIsVerifiedWhateverTheWorkerIsTold) {
  for (const char* setting : {"verify of worker=never\n", "verify of worker=first\n"}) {
    const heard seen = handled_by(setting, {true, false}, slot_is_port);
    EXPECT_EQ(seen.from_left, numbers{1});
    EXPECT_TRUE(seen.left_is_shut);
  }
}

// ---- a pair ----

numbers taken_by(verification policy, const std::vector<bool>& sound, std::uint64_t& refused) {
  const watchdog guard(seconds(60), "Verification");
  const runtime_dir runtime;
  ::setenv("XDG_RUNTIME_DIR", runtime.path().c_str(), 1);
  numbers out;
  {
    const std::string name = "verify-test-" + std::to_string(::getpid());
    auto in = open(name, {.verify = policy}).receiver<Node>();
    auto feed = open(name).sender<Node>();
    for (std::size_t i = 0; i < sound.size(); ++i) {
      EXPECT_EQ(feed.send(node(i + 1, sound[i])), status::ok);
    }
    for (const Node& each : in.poll()) out.push_back(each.number());
    refused = in.refused();
  }
  ::unsetenv("XDG_RUNTIME_DIR");
  return out;
}

TEST(Verification, AReceiverOfAPairDoesAsItIsTold) {
  std::uint64_t refused = 0;
  const std::vector<bool> sent = {false, false, true, false};
  EXPECT_EQ(taken_by(verification::always, sent, refused), numbers{3});
  EXPECT_EQ(refused, 3U);
  EXPECT_EQ(taken_by(verification::first, sent, refused), (numbers{3, 4}));
  EXPECT_EQ(refused, 2U);
  EXPECT_EQ(taken_by(verification::never, sent, refused), (numbers{1, 2, 3, 4}));
  EXPECT_EQ(refused, 0U);
}

// ---- the topology ----

topology read(const std::string& line) {
  const temp_dir folder;
  const auto path = folder.path() / "t.toml";
  write_file(path, "name = \"job\"\n[[worker]]\nname = \"w\"\nprogram = \"true\"\n" + line + "\n");
  tools::topology_request request;
  request.path = path.string();
  request.programs = "/bin";
  return tools::read_topology(request);
}

TEST(Verification, TheTopologySaysWhatEachIncarnationOfAWorkerVerifies) {
  EXPECT_EQ(read("").workers[0].verify, verification::always);
  EXPECT_EQ(read("verify = \"always\"").workers[0].verify, verification::always);
  EXPECT_EQ(read("verify = \"first\"").workers[0].verify, verification::first);
  const topology never = read("verify = \"never\"");
  EXPECT_EQ(never.workers[0].verify, verification::never);
  EXPECT_THAT(plan_of(never).slots[0].settings, testing::HasSubstr("verify of worker=never\n"));
  EXPECT_NE(plan_of(never).fingerprint, plan_of(read("")).fingerprint);
  EXPECT_EQ(plan_of(read("verify = \"always\"")).fingerprint, plan_of(read("")).fingerprint);
  try {
    read("verify = \"sometimes\"");
    FAIL() << "not refused";
  } catch (const error& failure) {
    EXPECT_EQ(failure.code(), error_code::bad_input);
    EXPECT_THAT(failure.what(),
                testing::AllOf(testing::HasSubstr(":5: "), testing::HasSubstr("verify"),
                               testing::HasSubstr("first")));
  }
}

}  // namespace
}  // namespace cyto::test
