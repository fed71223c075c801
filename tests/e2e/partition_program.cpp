// Sources number what they say of each key, a relay repeats it, and keepers, who own the keys,
// believe nobody: what is not in its order, or finds its key's cells not as they were left, is
// counted as disorder.
#include <poll.h>

#include <cyto/cyto.hpp>
#include <filesystem>
#include <string>
#include <string_view>

#include "update_generated.h"

namespace {

std::string_view text_of(const flatbuffers::Vector<std::uint8_t>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

cyto::status send(cyto::turn& in, cyto::turn_output& to, std::string_view key,
                  std::string_view text) {
  return in.send<cyto::Update>(to, [&](flatbuffers::FlatBufferBuilder& fbb) {
    const auto bytes = [&fbb](std::string_view of) {
      return fbb.CreateVector(reinterpret_cast<const std::uint8_t*>(of.data()), of.size());
    };
    const auto first = bytes(key);
    return cyto::CreateUpdate(fbb, first, bytes(text));
  });
}

// Says "0 17" of a key: source 0, for the 17th time.
void set_up_source(cyto::worker& self) {
  const auto said = self.cell<cyto::counter>("said");
  const std::uint64_t count = std::stoull(self.setting("count"));
  const std::uint64_t keys = std::stoull(self.setting("keys"));
  const std::string hold = self.setting("hold");
  const cyto::output keepers = self.to("keeper");
  const cyto::output relays = self.to("relay");
  const std::string number(1, self.name().back());
  self.source([=, &self](cyto::turn& in) {
    if (said.value() == count) {
      if (!std::filesystem::exists(hold)) return cyto::produced::finished;
      poll(nullptr, 0, 1);  // Nothing tells of a file that is removed.
      return cyto::produced::more;
    }
    for (int i = 0; i < 16 && said.value() < count; ++i) {
      said.add(in, 1);
      const std::string key = "k" + std::to_string(cyto::hash_bytes(number, said.value()) % keys);
      const auto times = self.cell<cyto::counter>(key);
      times.add(in, 1);
      const std::string text = number + " " + std::to_string(times.value());
      if (send(in, keepers.by_key(key), key, text) != cyto::status::ok) break;
      if (send(in, relays.member(0), key, text) != cyto::status::ok) break;
    }
    return cyto::produced::more;
  });
}

void set_up_relay(cyto::worker& self) {
  const cyto::output keepers = self.to("keeper");
  self.on<cyto::Update>([=](const cyto::Update& update, cyto::turn& in) {
    const std::string_view key = text_of(*update.cell());
    send(in, keepers.by_key(key), key, "again " + std::string(text_of(*update.value())));
  });
}

void set_up_keeper(cyto::worker& self) {
  const auto disorder = self.cell<cyto::counter>("disorder");
  self.on<cyto::Update>([](const cyto::Update& update) { return text_of(*update.cell()); },
                        [=, &self](const cyto::Update& update, cyto::turn& in) {
                          const cyto::key_cells key = self.keyed(text_of(*update.cell()));
                          const std::string text(text_of(*update.value()));
                          const auto all = key.cell<cyto::counter>();
                          const auto log = key.cell<cyto::growing_set>("log");
                          const auto last = key.cell<cyto::last_writer>("last");
                          std::string_view newest;
                          log.each([&newest](std::string_view each) {
                            newest = each;
                            return false;
                          });
                          bool is_good =
                              log.size() == all.value() &&
                              (all.value() == 0 || last.value() == cyto::hash_bytes(newest));
                          const bool is_again = text.starts_with("again ");
                          const std::string said = is_again ? text.substr(6) : text;
                          const auto times = key.cell<cyto::maximum>("of " + said.substr(0, 1));
                          const std::uint64_t number = std::stoull(said.substr(2));
                          if (is_again) {
                            // What it repeats was sent before: it has to be here.
                            is_good = is_good && times.value() >= number;
                          } else {
                            is_good = is_good && number == times.value() + 1;
                            times.merge(in, number);
                          }
                          is_good = log.add(in, text) && is_good;
                          all.add(in, 1);
                          last.set(in, cyto::hash_bytes(text));
                          if (!is_good) disorder.add(in, 1);
                        });
}

}  // namespace

int main(int argc, char** argv) {
  return cyto::worker_main(argc, argv, [](cyto::worker& self) {
    if (self.name().starts_with("source")) set_up_source(self);
    if (self.name().starts_with("relay")) set_up_relay(self);
    if (self.name().starts_with("keeper")) set_up_keeper(self);
  });
}
