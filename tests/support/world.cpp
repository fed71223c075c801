#include "support/world.hpp"

#include <cstring>
#include <sstream>
#include <stdexcept>

#include "update_generated.h"

namespace cyto::test {
namespace {

// Larger ones go as FlatBuffers, so that they are built in the ring.
constexpr std::size_t raw_bytes_max = 512;

class slot_world final : public world {
 public:
  explicit slot_world(slot& in) : in_(in) {}
  void send(std::size_t sink, const std::string& payload) override {
    if (payload.size() <= raw_bytes_max) {
      stage(in_, sink, payload);
      return;
    }
    turn& now = in_.the_turn();
    now.send<Update>(*now.outputs()[sink], [&](flatbuffers::FlatBufferBuilder& fbb) {
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(payload.data());
      const auto cell = fbb.CreateVector(bytes, 1);
      return CreateUpdate(fbb, cell, fbb.CreateVector(bytes, payload.size()));
    });
  }
  void add(const std::string& counter_name, std::uint64_t amount) override {
    in_.cells().cell<counter>(counter_name).add(in_.the_turn(), amount);
  }
  void insert(const std::string& set_name, const std::string& member) override {
    in_.cells().cell<growing_set>(set_name).add(in_.the_turn(), member);
  }
  std::uint64_t value_of(const std::string& counter_name) override {
    return in_.cells().cell<counter>(counter_name).value();
  }
  void again() override { in_.the_turn().again(); }

 private:
  slot& in_;
};

std::string text_of(const message_view& view) {
  if (view.kind == raw_kind) return payload_of(view);
  const Update* update = open_message<Update>(view);
  if (update == nullptr) return "a broken update";
  return {reinterpret_cast<const char*>(update->value()->data()), update->value()->size()};
}

// What a sink would be handed, read through copies of the words that it would change.
std::vector<std::string> visible_in(const segment& where, const lane_entry& lane) {
  const mapping ring = where.map_ring(lane, false);
  alignas(line_bytes) std::byte copy[sizeof(input_line)];
  std::memcpy(copy, &where.input_of(lane), sizeof copy);
  auto& line = *reinterpret_cast<input_line*>(copy);
  const control& writer = where.control_of(lane.writer_slot);
  lane_reader reader({ring.data(), lane.ring_bytes, writer.shapes}, line, writer.commit,
                     where.control_of(lane.reader_slot).commit.observe());
  std::vector<std::string> out;
  message_view view;
  look found = look::nothing;
  while ((found = reader.peek(view)) == look::message) {
    out.push_back(text_of(view));
    reader.take(view);
  }
  if (found == look::corrupt) out.emplace_back("a corrupt record");
  return out;
}

std::set<std::string> members_of(const segment& where, std::uint64_t newest) {
  const std::byte* arena = where.at<std::byte>(where.slot(worker_slot).arena_offset);
  std::set<std::string> out;
  while (newest != 0) {
    member_record member{};
    std::memcpy(&member, arena + newest, sizeof member);
    const char* bytes = reinterpret_cast<const char*>(arena + newest + sizeof member);
    out.emplace(bytes, member.bytes);
    newest = std::uint64_t{member.previous8} * 8;
  }
  return out;
}

}  // namespace

std::string to_string(const effects& what) {
  std::ostringstream out;
  out << "delivered " << what.delivered << (what.again ? " and one begun" : "") << "; counters";
  for (const auto& [name, value] : what.counters) out << ' ' << name << '=' << value;
  out << "; sets";
  for (const auto& [name, members] : what.sets) out << ' ' << name << '=' << members.size();
  for (const auto& lane : what.sent) {
    out << "; sent";
    for (const auto& payload : lane) out << " '" << payload.substr(0, 12) << "'";
  }
  return out.str();
}

void model_world::send(std::size_t sink, const std::string& payload) {
  in_.sent[sink].push_back(payload);
}
void model_world::add(const std::string& counter_name, std::uint64_t amount) {
  in_.counters[counter_name] += amount;
}
void model_world::insert(const std::string& set_name, const std::string& member) {
  in_.sets[set_name].insert(member);
}

std::uint64_t model_world::value_of(const std::string& counter_name) {
  return in_.counters[counter_name];
}

effects apply(effects to, behaviour what, const std::vector<std::string>& messages) {
  model_world model(to);
  for (const std::string& each : messages) {
    to.again = false;
    what(model, each);
    if (!to.again) ++to.delivered;
  }
  return to;
}

std::vector<std::string> run_turn(slot& worker, behaviour what, std::size_t batch) {
  turn& now = worker.the_turn();
  slot_world real(worker);
  std::vector<std::string> handled;
  message_view view;
  while (handled.size() < batch) {
    turn_input* pending = now.pending();
    turn_input* from = pending == nullptr ? worker.incoming().next(view)
                                          : worker.incoming().front_of(*pending, view);
    if (from == nullptr) break;
    now.take(*from, view);
    handled.push_back(payload_of(view));
    what(real, handled.back());
    if (now.fault() != turn_fault::none) {
      now.abort();
      worker.incoming().reset();
      return {};
    }
    now.set_pending(now.wants_again() ? from : nullptr);
    if (now.wants_again()) break;
    turn::consume(*from, view);
    worker.incoming().taken(*from);
  }
  if (!handled.empty()) now.commit();
  return handled;
}

effects look_at(const segment& where, const effects& drained) {
  effects out;
  out.sent = drained.sent;
  versioned<7>::values root{};
  std::uint64_t root_seen = 0;
  const control& own = where.control_of(worker_slot);
  if (!own.root.read(own.commit, root, root_seen)) throw std::runtime_error("no valid root");
  out.again = root[root_pending] != 0;
  std::size_t sink = 0;
  for (std::uint32_t i = 0; i < where.lane_count(); ++i) {
    const lane_entry& lane = where.lane(i);
    if (lane.reader_slot == worker_slot) {
      std::uint64_t seen = 0;
      versioned<3>::values taken{};
      if (!where.input_of(lane).taken.read(where.control_of(worker_slot).commit, taken, seen)) {
        throw std::runtime_error("no valid read position");
      }
      out.delivered += taken[1];
    } else {
      for (auto& each : visible_in(where, lane)) out.sent[sink].push_back(std::move(each));
      ++sink;
    }
  }
  each_cell(where, worker_slot, [&](const cell_view& cell) {
    const std::string name(cell.name);
    if (cell.kind == static_cast<std::uint32_t>(cell_kind::counter)) {
      out.counters[name] = cell.value[0];
    } else {
      out.sets[name] = members_of(where, cell.value[1]);
      if (out.sets[name].size() != cell.value[0]) throw std::runtime_error("a set lost members");
    }
  });
  return out;
}

living_sinks::living_sinks(const segment& where) {
  for (unsigned i = 0; i < sink_count; ++i) {
    sinks_[i] = std::make_unique<slot>(where, first_sink_slot + i);
  }
}

void living_sinks::poll() {
  for (const auto& sink : sinks_) static_cast<void>(sink->incoming().has_any());
}

void living_sinks::drain(effects& drained) {
  for (std::size_t i = 0; i < sink_count; ++i) {
    slot& sink = *sinks_[i];
    message_view view;
    while (turn_input* from = sink.incoming().next(view)) {
      sink.the_turn().take(*from, view);
      drained.sent[i].push_back(text_of(view));
      turn::consume(*from, view);
      sink.incoming().taken(*from);
    }
    if (!sink.the_turn().is_empty()) sink.the_turn().commit();
  }
}

}  // namespace cyto::test
