// Holds one cell for each name it owns: the growing set of the packages that name it.
#include <cyto/cyto.hpp>

#include "update_generated.h"

namespace {

std::string_view text_of(const flatbuffers::Vector<std::uint8_t>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

int main(int argc, char** argv) {
  return cyto::worker_main(argc, argv, [](cyto::worker& self) {
    self.on<cyto::Update>([&self](const cyto::Update& update, cyto::turn& turn) {
      self.cell<cyto::growing_set>(text_of(*update.cell())).add(turn, text_of(*update.value()));
    });
  });
}
