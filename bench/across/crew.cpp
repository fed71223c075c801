#include "across/crew.hpp"

#include <stdexcept>
#include <string>

namespace cyto::bench {
namespace {

constexpr std::uint64_t lane_bytes = 64 << 10;
constexpr std::uint64_t arena_bytes = 64 << 10;

segment make_crew(std::uint32_t members) {
  segment_plan plan;
  plan.name = "bench";
  plan.memfd_tag = "cyto:bench";
  plan.slots = {{"lead", "lead", 0, slot_is_port, arena_bytes, {}}};
  for (std::uint32_t i = 0; i < members; ++i) {
    plan.slots.push_back({"member/" + std::to_string(i), "member", i, slot_is_port, 0, {}});
    plan.lanes.push_back({0, 1 + i, lane_bytes});
    plan.lanes.push_back({1 + i, 0, lane_bytes});
  }
  return segment::create(plan);
}

// The next message, after sleeping if there is none.
turn_input& next(slot& place, message_view& view) {
  mailbox& incoming = place.incoming();
  for (;;) {
    if (turn_input* from = incoming.next(view); from != nullptr) return *from;
    place.bell().prepare();
    if (!incoming.has_any()) place.bell().wait();
    place.bell().cancel();
  }
}

void consume(slot& place, turn_input& from, const message_view& view) {
  place.the_turn().take(from, view);
  turn::consume(from, view);
  place.incoming().taken(from);
}

}  // namespace

crew::crew(std::uint32_t members) : members_(members), system_(make_crew(members)) {}

crew::lead::lead(const segment& where, std::uint32_t members)
    : place_(where, 0), members_(members) {
  cell_ = place_.cells().cell<counter>("given");
  commit();
}

void crew::lead::give(std::uint32_t member, std::uint64_t number) {
  turn& in = place_.the_turn();
  if (message_.send(in, *in.outputs()[member], number) != status::ok) {
    throw std::runtime_error("an order found no room");
  }
}

void crew::lead::gather(std::uint32_t count, const std::function<void(const answer&)>& take) {
  message_view view;
  while (count != 0) {
    turn_input* from = &next(place_, view);
    while (from != nullptr) {
      answer got{};
      std::memcpy(&got, view.data, sizeof got);
      take(got);
      consume(place_, *from, view);
      if (--count == 0) break;
      from = place_.incoming().next(view);
    }
    commit();
  }
}

void crew::follow(std::uint32_t member, tally& out, const std::function<void()>& begin) const {
  slot place(system_, 1 + member);
  turn& in = place.the_turn();
  begin();
  for (;;) {
    message_view view;
    turn_input& from = next(place, view);
    const answer back = {raw_message::read(view), ticks()};
    consume(place, from, view);
    if (back.number == stop_number) break;
    if (in.send_bytes(*in.outputs()[0], &back, sizeof back, 1) != status::ok) {
      throw std::runtime_error("an answer found no room");
    }
    in.commit();
    ++out.count;
  }
  in.commit();
}

sample crew::play(const pace& how, const leading& what) {
  const auto near = [&](tally& out, const std::function<void()>& begin) {
    lead of(system_, members_);
    what(of, out, begin);
    for (std::uint32_t i = 0; i < members_; ++i) of.give(i, stop_number);
    of.commit();
  };
  std::vector<part> far;
  for (std::uint32_t i = 0; i < members_; ++i) {
    far.emplace_back(
        [this, i](tally& out, const std::function<void()>& begin) { follow(i, out, begin); });
  }
  const duet_result found = play_with_many(how.where, near, far, how.limit_s);
  return sample_of(found, *found.near);
}

}  // namespace cyto::bench
