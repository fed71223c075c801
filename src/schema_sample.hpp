// A message with everything in it, but for one field: whether it is sound tells whether that field
// is required, which flatc's type tables do not say.
#pragma once

#include <flatbuffers/flatbuffers.h>

#include <cstddef>
#include <vector>

#include "cyto/schema.hpp"

namespace cyto {

class schema_sample {
 public:
  // Leaves field `without` of each `of` out; of a null pointer, none.
  explicit schema_sample(const flatbuffers::TypeTable& root,
                         const flatbuffers::TypeTable* of = nullptr, std::size_t without = 0);

  // False also of one that was too large to be built.
  [[nodiscard]] bool is_sound(soundness judge) const;

 private:
  using place = flatbuffers::uoffset_t;  // 0: nothing is there.
  [[nodiscard]] bool is_left_out(const flatbuffers::TypeTable& type, std::size_t field) const;
  place table(const flatbuffers::TypeTable& type);
  place part(const flatbuffers::TypeTable& type, std::size_t field);
  place vector(const flatbuffers::TypeTable& type, const flatbuffers::TypeCode& code);
  place sequence(const flatbuffers::TypeTable& type);
  void add(const flatbuffers::TypeTable& type, std::size_t field, place at);
  place add_struct(const flatbuffers::TypeTable& type);

  flatbuffers::FlatBufferBuilder fbb_;
  const flatbuffers::TypeTable* of_;
  std::size_t without_;
  std::vector<const flatbuffers::TypeTable*> open_;  // From the root to where it is being built.
  std::size_t tables_ = 0;
};

}  // namespace cyto
