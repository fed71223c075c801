// Its cells are the result: how many packages each root pulls in, itself among them; for each group
// that nobody meets, how many roots want it; and the sum of the hashes of all pairs of a root and a
// package that it has reached. A pair that came twice would count twice.
#include <cyto/cyto.hpp>
#include <string>
#include <string_view>

#include "closure_generated.h"
#include "graph.hpp"

namespace {

// FNV-1a.
std::uint64_t digest(std::string_view text) {
  std::uint64_t state = 0xcbf29ce484222325ULL;
  for (const char byte : text)
    state = (state ^ static_cast<unsigned char>(byte)) * 0x100000001b3ULL;
  return state;
}

}  // namespace

int main(int argc, char** argv) {
  return cyto::worker_main(argc, argv, [](cyto::worker& self) {
    const auto sum = self.cell<cyto::counter>("digest of all sets");
    self.on<closure::Reached>([=, &self](const closure::Reached& reached, cyto::turn& turn) {
      const std::string root(closure::text_of(*reached.root()));
      self.cell<cyto::counter>(root).add(turn, 1);
      sum.add(turn, digest(root + "\n" + std::string(closure::text_of(*reached.name()))));
    });
    self.on<closure::Missing>([&self](const closure::Missing& missing, cyto::turn& turn) {
      const std::string group(closure::text_of(*missing.group()));
      self.cell<cyto::counter>("nobody provides " + group).add(turn, 1);
    });
  });
}
