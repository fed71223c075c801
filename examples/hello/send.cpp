// Sends three messages; each becomes visible by one store.
#include <chrono>
#include <cyto/cyto.hpp>

#include "tick_generated.h"

int main() {
  auto feed = cyto::open("feed").sender<hello::Tick>();
  for (unsigned number = 1; number <= 3; ++number) {
    const cyto::status sent = feed.send([&](flatbuffers::FlatBufferBuilder& fbb) {
      return hello::CreateTick(fbb, number, fbb.CreateString("hello"));
    });
    if (sent != cyto::status::ok) return 1;
  }
  return feed.drain(std::chrono::seconds(10)) ? 0 : 1;
}
