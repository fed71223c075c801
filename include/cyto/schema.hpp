// cyto/schema.hpp
//
// What: what a program handles, told as text, so that two programs that were built apart can be
//   compared before one of them takes over from the other.
//       std::string now = program_line() + message_schema<Order>();
//       std::string objection = takeover_objection(now, next);   // empty: it may take over
//
// Who: anybody, from any thread; pure functions. Only a rehearsal calls them (observe.hpp,
//   check_successor()), never the hot path.
//
// Layout: private text, a line each: the layout; then for each message type its number and name,
//   and, if its header was generated with --reflect-types --reflect-names, as cyto_schema() does,
//   the types it is made of:
//       cyto worker of layout 2
//       message 9204137 shop.Order
//       type 0 table
//       field 0 id ulong
//       field 1 lines [table]! 1        (1 is the number of the element's type; !: required)
//       type 1 table
//       field 0 price double
//
// Ordering: none.
//
// Death: nothing to leave behind.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>

#include "cyto/message.hpp"

namespace cyto {

// Whether these bytes are a sound message of the type in question.
using soundness = bool (*)(const std::uint8_t* bytes, std::size_t size);

// A type, and all that it is made of. FlatBuffers' tables do not tell which fields are required;
// that is found out by leaving each out of a sample. Behind a union only its first member is looked
// at, and nothing behind a type that holds itself.
std::string schema_text(const flatbuffers::TypeTable& root, soundness is_sound);

template <class T>
concept has_type_table = requires {
  { T::MiniReflectTypeTable() } -> std::convertible_to<const flatbuffers::TypeTable*>;
};

// One message type: number, name, and fields if they are known.
template <class T>
std::string message_schema() {
  std::string out =
      "message " + std::to_string(message_kind<T>()) + " " + T::GetFullyQualifiedName() + "\n";
  if constexpr (has_type_table<T>) {
    out += schema_text(*T::MiniReflectTypeTable(), [](const std::uint8_t* bytes, std::size_t size) {
      return flatbuffers::Verifier(bytes, size).VerifyBuffer<T>(nullptr);
    });
  }
  return out;
}

// The line that every description begins with, without its end.
std::string program_line();

// What is wrong with a program that handles `next` taking over from one that handles `now`; empty
// if nothing is. Messages of the old form may wait in its lanes, and others go on sending them, so:
//   - what is handled now is handled by the next one too;
//   - a field keeps its number and its type; it may be renamed, but no two may change places;
//   - tables, unions and enumerations may have more members than before, or fewer: the way back to
//     an older program is open;
//   - a struct stays as it is, and no field becomes required.
std::string takeover_objection(const std::string& now, const std::string& next);

}  // namespace cyto
