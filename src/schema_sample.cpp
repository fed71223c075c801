#include "schema_sample.hpp"

#include <algorithm>

namespace cyto {
namespace {

using flatbuffers::TypeCode;
using flatbuffers::TypeTable;

// Types that share others can spell out a message of any size; what is larger is not tried.
constexpr std::size_t tables_max = 1000;

// Enough for any scalar, and for any struct: FlatBuffers has no more.
constexpr std::size_t alignment_bytes = 32;

const TypeTable* referred(const TypeTable& type, const TypeCode& code) {
  return code.sequence_ref < 0 ? nullptr : type.type_refs[code.sequence_ref]();
}

std::size_t struct_bytes(const TypeTable& type) {
  return static_cast<std::size_t>(type.values[type.num_elems]);
}

flatbuffers::voffset_t vtable_place(std::size_t field) {
  return flatbuffers::FieldIndexToOffset(static_cast<flatbuffers::voffset_t>(field));
}

}  // namespace

schema_sample::schema_sample(const TypeTable& root, const TypeTable* of, std::size_t without)
    : of_(of), without_(without) {
  fbb_.Finish(flatbuffers::Offset<void>(table(root)));
}

bool schema_sample::is_sound(soundness judge) const {
  return tables_ <= tables_max && judge(fbb_.GetBufferPointer(), fbb_.GetSize());
}

// A union and the field before it, which says what it is, only make sense together.
bool schema_sample::is_left_out(const TypeTable& type, std::size_t field) const {
  if (&type != of_) return false;
  const auto tells = [&type](std::size_t index) {
    return type.type_codes[index].base_type == flatbuffers::ET_UTYPE;
  };
  return field == without_ || (field + 1 == without_ && tells(field)) ||
         (field == without_ + 1 && tells(without_));
}

schema_sample::place schema_sample::table(const TypeTable& type) {
  ++tables_;
  open_.push_back(&type);
  // All that a table refers to is built before it.
  std::vector<place> parts(type.num_elems);
  for (std::size_t i = 0; i < type.num_elems; ++i) {
    if (!is_left_out(type, i)) parts[i] = part(type, i);
  }
  const place start = fbb_.StartTable();
  for (std::size_t i = 0; i < type.num_elems; ++i) {
    if (!is_left_out(type, i)) add(type, i, parts[i]);
  }
  open_.pop_back();
  return fbb_.EndTable(start);
}

schema_sample::place schema_sample::part(const TypeTable& type, std::size_t field) {
  const TypeCode& code = type.type_codes[field];
  if (code.is_repeating != 0) return vector(type, code);
  if (code.base_type == flatbuffers::ET_STRING) return fbb_.CreateString("").o;
  const TypeTable* of = referred(type, code);
  if (code.base_type != flatbuffers::ET_SEQUENCE || of == nullptr) return 0;
  if (of->st == flatbuffers::ST_TABLE) return sequence(*of);
  if (of->st != flatbuffers::ST_UNION || of->num_elems < 2) return 0;
  const TypeCode& member = of->type_codes[1];
  if (member.base_type == flatbuffers::ET_STRING) return fbb_.CreateString("").o;
  const TypeTable* in = referred(*of, member);
  if (in == nullptr) return 0;
  return in->st == flatbuffers::ST_TABLE ? sequence(*in) : add_struct(*in);
}

// One table in a vector of tables, so that its fields are seen; other vectors are empty.
schema_sample::place schema_sample::vector(const TypeTable& type, const TypeCode& code) {
  const TypeTable* of = referred(type, code);
  if (code.base_type == flatbuffers::ET_SEQUENCE && of != nullptr &&
      of->st == flatbuffers::ST_TABLE) {
    const place element = sequence(*of);
    if (element != 0) {
      const flatbuffers::Offset<void> only(element);
      return fbb_.CreateVector(&only, 1).o;
    }
  }
  fbb_.StartVector(0, alignment_bytes);
  return fbb_.EndVector(0);
}

schema_sample::place schema_sample::sequence(const TypeTable& type) {
  const bool holds_itself = std::find(open_.begin(), open_.end(), &type) != open_.end();
  return holds_itself || tables_ > tables_max ? 0 : table(type);
}

schema_sample::place schema_sample::add_struct(const TypeTable& type) {
  fbb_.StartStruct(alignment_bytes);
  fbb_.Pad(struct_bytes(type));
  return fbb_.EndStruct();
}

void schema_sample::add(const TypeTable& type, std::size_t field, place at) {
  const TypeCode& code = type.type_codes[field];
  const TypeTable* of = referred(type, code);
  if (at != 0) {
    fbb_.AddOffset(vtable_place(field), flatbuffers::Offset<void>(at));
  } else if (code.is_repeating == 0 && code.base_type == flatbuffers::ET_UTYPE) {
    // Says which member of its union the next field is.
    if (of != nullptr && of->num_elems > 1) {
      const std::int64_t member = of->values == nullptr ? 1 : of->values[1];
      fbb_.AddElement<std::uint8_t>(vtable_place(field), static_cast<std::uint8_t>(member), 0);
    }
  } else if (code.is_repeating == 0 && code.base_type == flatbuffers::ET_SEQUENCE &&
             of != nullptr && of->st == flatbuffers::ST_STRUCT) {
    fbb_.AddStructOffset(vtable_place(field), add_struct(*of));
  }
}

}  // namespace cyto
