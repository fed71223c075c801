// A message type told as text, from the type tables that flatc generates.
#include "cyto/schema.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "cyto/segment.hpp"
#include "schema_sample.hpp"

namespace cyto {
namespace {

using flatbuffers::TypeCode;
using flatbuffers::TypeTable;

std::string kind_of(const TypeTable& type) {
  switch (type.st) {
    case flatbuffers::ST_TABLE:
      return "table";
    case flatbuffers::ST_UNION:
      return "union";
    case flatbuffers::ST_ENUM:
      return "enum";
    case flatbuffers::ST_STRUCT:
      return "struct of " + bytes_text(static_cast<std::uint64_t>(type.values[type.num_elems]));
  }
  return "unknown";
}

// In the words of a schema file. `array` is the length of a struct's array, 0 elsewhere.
std::string type_of(const TypeTable& in, const TypeCode& code, std::int16_t array) {
  static constexpr std::array<const char*, 13> scalars = {
      "utype", "bool", "byte",  "ubyte", "short",  "ushort", "int",
      "uint",  "long", "ulong", "float", "double", "string"};
  std::string out = "nothing";  // The member of a union that is no type.
  if (code.base_type < scalars.size()) {
    out = scalars[code.base_type];
  } else if (code.sequence_ref >= 0) {
    out = kind_of(*in.type_refs[code.sequence_ref]());
    out.resize(std::min(out.size(), out.find(' ')));
  }
  if (code.is_repeating == 0) return out;
  return array == 0 ? "[" + out + "]" : "[" + out + ":" + std::to_string(array) + "]";
}

// What stays when a field is renamed: its place.
std::int64_t number_of(const TypeTable& type, std::size_t index) {
  return type.st == flatbuffers::ST_TABLE || type.values == nullptr
             ? static_cast<std::int64_t>(index)
             : type.values[index];
}

}  // namespace

std::string program_line() { return "cyto worker of layout " + std::to_string(layout_version); }

std::string schema_text(const TypeTable& root, soundness is_sound) {
  std::vector<const TypeTable*> types{&root};
  const auto place_of = [&types](const TypeTable* type) {
    const auto found = std::find(types.begin(), types.end(), type);
    const auto place = static_cast<std::size_t>(found - types.begin());
    if (found == types.end()) types.push_back(type);
    return place;
  };
  const bool can_probe = schema_sample(root).is_sound(is_sound);
  std::string out;
  for (std::size_t i = 0; i < types.size(); ++i) {
    const TypeTable& type = *types[i];
    out += "type " + std::to_string(i) + " " + kind_of(type) + "\n";
    std::size_t arrays = 0;
    for (std::size_t j = 0; j < type.num_elems; ++j) {
      const TypeCode& code = type.type_codes[j];
      const bool is_array = type.st == flatbuffers::ST_STRUCT && code.is_repeating != 0;
      out += "field " + std::to_string(number_of(type, j)) + " " +
             (type.names == nullptr ? "-" : type.names[j]);
      if (type.st == flatbuffers::ST_ENUM) {
        out += " value\n";
        continue;
      }
      out += " " + type_of(type, code, is_array ? type.array_sizes[arrays++] : std::int16_t{0});
      if (can_probe && type.st == flatbuffers::ST_TABLE &&
          !schema_sample(root, &type, j).is_sound(is_sound)) {
        out += "!";
      }
      if (code.sequence_ref >= 0) {
        out += " " + std::to_string(place_of(type.type_refs[code.sequence_ref]()));
      }
      out += "\n";
    }
  }
  return out;
}

}  // namespace cyto
