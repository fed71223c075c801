// FlatBuffers through small rings: whatever was built is read back, wherever it was built.
#include "cyto/message.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "support/allocations.hpp"
#include "support/system.hpp"
#include "trees_generated.h"
#include "update_generated.h"

namespace cyto::test {
namespace {

using flatbuffers::FlatBufferBuilder;

struct pair_of_slots {
  explicit pair_of_slots(std::uint64_t ring_bytes)
      : system({"a", "b"}, {{0, 1}}, {ring_bytes, 4096}), a(system.where, 0), b(system.where, 1) {}
  turn_output& lane() { return *a.the_turn().outputs()[0]; }
  // The front message; REQUIRES: there is one.
  message_view front() {
    message_view view;
    EXPECT_NE(b.incoming().next(view), nullptr);
    return view;
  }

  small_system system;
  slot a;
  slot b;
};

std::string noise(std::mt19937& random, std::size_t bytes) {
  std::string out(bytes, '\0');
  for (char& each : out) each = static_cast<char>(random());
  return out;
}

flatbuffers::Offset<Update> update_of(FlatBufferBuilder& fbb, const std::string& value) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(value.data());
  const auto cell = fbb.CreateVector(bytes, value.empty() ? 0U : 1U);
  return CreateUpdate(fbb, cell, fbb.CreateVector(bytes, value.size()));
}

status send_update(pair_of_slots& at, const std::string& value) {
  return at.a.the_turn().send<Update>(at.lane(), [&](auto& fbb) { return update_of(fbb, value); });
}

std::string value_of(const message_view& view) {
  const Update* update = open_message<Update>(view);
  if (update == nullptr) return "not a sound update";
  return {reinterpret_cast<const char*>(update->value()->data()), update->value()->size()};
}

// Bytes of the finished message, built the plain way.
std::uint32_t plain_size(const std::string& value) {
  FlatBufferBuilder fbb;
  fbb.Finish(update_of(fbb, value));
  return fbb.GetSize();
}

TEST(Message, IsReadBackFromNothingToAMebibyte) {
  std::mt19937 random(1);
  pair_of_slots at(4U << 20);
  for (std::size_t bytes = 0; bytes <= (1U << 20); bytes = bytes * 5 / 4 + 1) {
    const std::string value = noise(random, bytes);
    ASSERT_EQ(send_update(at, value), status::ok) << bytes;
    at.a.the_turn().commit();
    const message_view view = at.front();
    EXPECT_EQ(view.kind, message_kind<Update>());
    EXPECT_EQ(view.size, plain_size(value));
    ASSERT_EQ(value_of(view), value) << bytes;
    drain(at.b);
  }
}

TEST(Message, IsRefusedExactlyWhenItsFinalSizeDoesNotFit) {
  pair_of_slots at(16 * 1024);
  std::mt19937 random(2);
  std::size_t refused = 0;
  for (int i = 0; i < 4000; ++i) {
    if (random() % 7 == 0) drain(at.b);
    const std::string value(random() % 17'000, 'v');
    const std::uint32_t bytes = plain_size(value);
    const std::uint64_t room = at.lane().lane.room();
    // A copy takes a narrow header. Built in place, the header has a line of its own; such a
    // message is copied after all when only that line does not fit.
    const bool fits = record_bytes(bytes, header_bytes_of(bytes, 4)) + line_bytes <= room;
    const status sent = send_update(at, value);
    if (sent == status::ok) {
      at.a.the_turn().commit();
    } else {
      ++refused;
      at.a.the_turn().abort();
    }
    ASSERT_EQ(sent == status::ok, fits) << bytes << " bytes into " << room;
  }
  EXPECT_GT(refused, 100U);
}

TEST(Message, LargestThatFitsAnEmptyLaneIsTaken) {
  pair_of_slots at(8192);
  std::string value(8192 - 80 - 100, 'v');
  while (plain_size(value) < 8192 - 80) value += 'v';
  while (plain_size(value) > 8192 - 80) value.pop_back();
  ASSERT_EQ(send_update(at, value), status::ok) << plain_size(value);
  at.a.the_turn().commit();
  EXPECT_EQ(value_of(at.front()), value);
}

TEST(Message, GoesOnInTheRingAndThenInTheSpillWithoutLosingAByte) {
  // Grows in small steps, so that each move happens in the middle of an open table.
  std::mt19937 random(3);
  for (const std::uint64_t ring : {4096U, 8192U, 65536U}) {
    pair_of_slots at(ring);
    for (int i = 0; i < 600; ++i) {
      const std::size_t parts = random() % 90;
      std::vector<std::string> texts;
      for (std::size_t p = 0; p < parts; ++p) texts.push_back(noise(random, random() % 120));
      const status sent = at.a.the_turn().send<tree::Node>(at.lane(), [&](auto& fbb) {
        std::vector<flatbuffers::Offset<flatbuffers::String>> names;
        for (const std::string& text : texts) names.push_back(fbb.CreateString(text));
        const auto list = fbb.CreateVector(names);
        tree::NodeBuilder node(fbb);
        node.add_number(parts);
        node.add_names(list);
        return node.Finish();
      });
      if (sent != status::ok) {
        at.a.the_turn().abort();
        drain(at.b);
        continue;
      }
      at.a.the_turn().commit();
      if (random() % 2 == 0) continue;
      message_view view;
      while (turn_input* from = at.b.incoming().next(view)) {
        const auto* node = open_message<tree::Node>(view);
        ASSERT_NE(node, nullptr);
        ASSERT_EQ(node->names()->size(), node->number());
        turn::consume(*from, view);
        at.b.incoming().taken(*from);
        if (node->number() != parts || at.b.incoming().has_any()) continue;
        for (std::size_t p = 0; p < parts; ++p) {
          ASSERT_EQ(node->names()->Get(static_cast<flatbuffers::uoffset_t>(p))->str(), texts[p]);
        }
      }
      at.b.the_turn().commit();
    }
  }
}

// A random tree, and the same again from the same seed.
flatbuffers::Offset<tree::Node> random_tree(FlatBufferBuilder& fbb, std::mt19937& random,
                                            unsigned depth) {
  std::vector<flatbuffers::Offset<tree::Node>> children;
  const std::size_t count = depth == 0 ? 0 : random() % 5;
  for (std::size_t i = 0; i < count; ++i) children.push_back(random_tree(fbb, random, depth - 1));
  const auto bytes = fbb.CreateString(noise(random, random() % 400));
  const auto list = fbb.CreateVector(children);
  tree::NodeBuilder node(fbb);
  if (random() % 2 == 0) node.add_number(random());
  node.add_text(bytes);
  node.add_children(list);
  return node.Finish();
}

TEST(Message, RandomTreesHaveTheBytesThatAPlainBuilderGives) {
  pair_of_slots at(32 * 1024);
  std::size_t sent_count = 0;
  for (unsigned seed = 0; seed < 3000; ++seed) {
    std::mt19937 random(seed);
    FlatBufferBuilder plain;
    plain.Finish(random_tree(plain, random, seed % 5));
    random.seed(seed);
    const status sent = at.a.the_turn().send<tree::Node>(
        at.lane(), [&](auto& fbb) { return random_tree(fbb, random, seed % 5); });
    if (sent != status::ok) {
      at.a.the_turn().abort();
      drain(at.b);
      continue;
    }
    at.a.the_turn().commit();
    if (seed % 3 != 0) continue;
    const auto all = drain(at.b);
    ASSERT_FALSE(all.empty());
    ASSERT_EQ(all.back(),
              std::string(reinterpret_cast<const char*>(plain.GetBufferPointer()), plain.GetSize()))
        << "seed " << seed;
    sent_count += all.size();
  }
  EXPECT_GT(sent_count, 1000U);
}

TEST(Message, AlignmentAboveTheHeadersIsKeptWhereverItIsBuilt) {
  pair_of_slots at(16 * 1024);
  std::size_t refused = 0;
  for (unsigned i = 0; i < 400; ++i) {
    const std::string filler(i * 37 % 12'000, 'f');
    const status sent = at.a.the_turn().send<tree::Aligned>(at.lane(), [&](auto& fbb) {
      const auto text = fbb.CreateString(filler);
      const tree::Wide wide(1, 2, 3, 4);
      tree::AlignedBuilder aligned(fbb);
      aligned.add_wide(&wide);
      aligned.add_text(text);
      return aligned.Finish();
    });
    if (sent != status::ok) {
      ++refused;
      at.a.the_turn().abort();
      drain(at.b);
      continue;
    }
    at.a.the_turn().commit();
    if (i % 2 == 0) continue;
    message_view view;
    while (turn_input* from = at.b.incoming().next(view)) {
      const auto* aligned = open_message<tree::Aligned>(view);
      ASSERT_NE(aligned, nullptr) << i;
      ASSERT_EQ(reinterpret_cast<std::uintptr_t>(aligned->wide()) % 32, 0U) << i;
      ASSERT_EQ(aligned->wide()->d(), 4U);
      turn::consume(*from, view);
      at.b.incoming().taken(*from);
    }
    at.b.the_turn().commit();
  }
  EXPECT_GT(refused, 10U) << "the spill was never used";
}

TEST(Message, PrebuiltOneIsSentWithWhatWasSetInIt) {
  pair_of_slots at(16 * 1024);
  prebuilt<tree::Node> node([](auto& fbb) {
    return tree::CreateNode(fbb, 0, fbb.CreateString("the same text each time"));
  });
  std::uint64_t before = 0;
  for (std::uint64_t number = 0; number < 1000; ++number) {
    if (number == 10) before = allocations();
    ASSERT_TRUE(node->mutate_number(number));
    ASSERT_EQ(at.a.the_turn().send(at.lane(), node), status::ok);
    ASSERT_TRUE(node->mutate_number(~std::uint64_t{0}));  // What is sent is sent.
    at.a.the_turn().commit();
    message_view view;
    turn_input* from = at.b.incoming().next(view);
    ASSERT_NE(from, nullptr);
    at.b.the_turn().take(*from, view);
    const auto* got = open_message<tree::Node>(view);
    ASSERT_NE(got, nullptr);
    ASSERT_EQ(view.kind, message_kind<tree::Node>());
    ASSERT_EQ(got->number(), number);
    ASSERT_EQ(got->text()->string_view(), "the same text each time");
    turn::consume(*from, view);
    at.b.incoming().taken(*from);
    at.b.the_turn().commit();
  }
  EXPECT_EQ(allocations(), before);
}

TEST(Message, PrebuiltOneKeepsAlignmentAboveTheHeaders) {
  pair_of_slots at(16 * 1024);
  prebuilt<tree::Aligned> message([](auto& fbb) {
    const auto text = fbb.CreateString("abc");
    const tree::Wide wide(1, 2, 3, 4);
    tree::AlignedBuilder aligned(fbb);
    aligned.add_wide(&wide);
    aligned.add_text(text);
    return aligned.Finish();
  });
  for (std::uint64_t i = 0; i < 300; ++i) {
    message->mutable_wide()->mutate_d(i);
    ASSERT_EQ(at.a.the_turn().send(at.lane(), message), status::ok);
    at.a.the_turn().commit();
    const auto* got = open_message<tree::Aligned>(at.front());
    ASSERT_NE(got, nullptr);
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(got->wide()) % 32, 0U);
    ASSERT_EQ(got->wide()->d(), i);
    ASSERT_EQ(drain(at.b).size(), 1U);
  }
}

TEST(Message, AbandonedBuildLeavesNothing) {
  pair_of_slots at(16 * 1024);
  turn& now = at.a.the_turn();
  for (const std::size_t bytes : {10U, 5'000U, 100'000U}) {
    struct stop {};
    EXPECT_THROW(static_cast<void>(now.send<Update>(at.lane(),
                                                    [&](auto& fbb) -> flatbuffers::Offset<Update> {
                                                      fbb.CreateString(std::string(bytes, 'x'));
                                                      fbb.StartTable();
                                                      throw stop{};
                                                    })),
                 stop);
    EXPECT_TRUE(now.is_empty());
    EXPECT_EQ(send_update(at, "after"), status::ok);
    now.commit();
    EXPECT_EQ(value_of(at.front()), "after");
    EXPECT_EQ(drain(at.b).size(), 1U);
  }
}

TEST(Message, SmallOnesAllocateNothingOnceWarm) {
  pair_of_slots at(1U << 20);
  const std::string value(100, 'v');
  const std::string large(30'000, 'l');
  std::uint64_t before = 0;
  for (int i = 0; i < 1000; ++i) {
    if (i == 10) before = allocations();
    ASSERT_EQ(send_update(at, i % 10 == 9 ? large : value), status::ok);
    at.a.the_turn().commit();
    message_view view;
    turn_input* from = at.b.incoming().next(view);
    at.b.the_turn().take(*from, view);
    ASSERT_NE(open_message<Update>(view), nullptr);
    turn::consume(*from, view);
    at.b.incoming().taken(*from);
    at.b.the_turn().commit();
  }
  EXPECT_EQ(allocations(), before);
  EXPECT_EQ(before != 0, allocations_are_counted);
}

TEST(Message, BytesThatAreNoMessageAreNotOpened) {
  std::mt19937 random(5);
  FlatBufferBuilder fbb;
  fbb.Finish(update_of(fbb, "value"));
  const std::vector<std::byte> good(
      reinterpret_cast<const std::byte*>(fbb.GetBufferPointer()),
      reinterpret_cast<const std::byte*>(fbb.GetBufferPointer()) + fbb.GetSize());
  message_view view;
  EXPECT_EQ(open_message<Update>(view), nullptr);
  for (std::uint32_t size = 0; size < good.size(); ++size) {
    view.data = good.data();
    view.size = size;
    // The last bytes are padding: whatever is sound without them is the message itself.
    const Update* update = open_message<Update>(view);
    EXPECT_TRUE(update == nullptr || update->value()->size() == 5) << size;
    EXPECT_TRUE(update == nullptr || size + 8 > good.size()) << size;
  }
  for (int i = 0; i < 20'000; ++i) {
    // On a line of its own, as a ring has it.
    alignas(line_bytes) std::byte bent[256];
    std::memcpy(bent, good.data(), good.size());
    bent[random() % good.size()] = static_cast<std::byte>(random());
    view.data = bent;
    view.size = static_cast<std::uint32_t>(good.size());
    const Update* update = open_message<Update>(view);
    if (update == nullptr) continue;
    ASSERT_LE(update->value()->size(), good.size());
    ASSERT_LE(update->cell()->size(), good.size());
  }
}

}  // namespace
}  // namespace cyto::test
