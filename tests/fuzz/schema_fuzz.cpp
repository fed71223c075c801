// A message of each schema, where a lane would hold it: what open_message() lets pass can be read
// to its last byte.
#include <array>

#include "cell_update_generated.h"
#include "closure_generated.h"
#include "cyto/message.hpp"
#include "fuzz/input.hpp"
#include "journal_generated.h"
#include "orders_generated.h"
#include "shapes_generated.h"
#include "stanza_generated.h"
#include "tick_generated.h"
#include "trees_generated.h"
#include "update_generated.h"

namespace cyto::fuzz {
namespace {

template <class T>
void read_vector(const flatbuffers::Vector<T>* vector) {
  if (vector != nullptr) read_all(vector->data(), vector->size() * sizeof(T));
}
void read_text(const flatbuffers::String* text) {
  if (text != nullptr) read_all(text->c_str(), text->size() + 1);
}

void read_message(const Update& message) {
  read_vector(message.cell());
  read_vector(message.value());
}
void read_message(const CellUpdate& message) {
  keep(message.law() + message.amount() + message.stamp() + message.writer());
  read_vector(message.cell());
  read_vector(message.function());
  read_vector(message.argument());
}
void read_message(const revdeps::Stanza& message) { read_vector(message.text()); }
void read_message(const hello::Tick& message) {
  keep(message.number());
  read_text(message.text());
}
void read_message(const tree::Node& message) {
  keep(message.number());
  read_text(message.text());
  if (message.names() != nullptr) {
    for (const flatbuffers::String* each : *message.names()) read_text(each);
  }
  if (message.children() != nullptr) {
    for (const tree::Node* each : *message.children()) read_message(*each);
  }
}
void read_message(const tree::Aligned& message) {
  if (message.wide() != nullptr) keep(message.wide()->a() + message.wide()->d());
  read_text(message.text());
}

void read_message(const orders::Order& message) {
  keep(message.number() + message.price() + message.quantity());
  read_text(message.symbol());
}
void read_message(const orders::Execution& message) {
  keep(message.first_trade() + message.taker());
  read_text(message.symbol());
  if (message.fills() != nullptr) {
    read_all(message.fills()->Data(), message.fills()->size() * sizeof(orders::Fill));
  }
}

void read_message(const journal::Event& message) {
  keep(message.number() + message.word());
  read_text(message.package());
  read_text(message.version());
  read_text(message.new_version());
}
void read_message(const journal::Final& message) {
  keep(message.state() + message.events() + message.digest());
  read_text(message.package());
  read_text(message.version());
}
void read_message(const journal::Count& message) {
  keep(message.amount());
  read_text(message.name());
}

void read_message(const closure::Package& message) {
  read_vector(message.name());
  read_vector(message.groups());
}
void read_message(const closure::Provided& message) {
  read_vector(message.by());
  read_vector(message.names());
}
void read_message(const closure::Need& message) {
  keep(message.from());
  read_vector(message.root());
  read_vector(message.group());
}
void read_message(const closure::Reached& message) {
  read_vector(message.root());
  read_vector(message.name());
}
void read_message(const closure::Missing& message) { read_vector(message.group()); }

void read_message(const shape::Leaf& message) {
  keep(static_cast<std::uint64_t>(message.number()));
  read_text(message.text());
  if (message.next() != nullptr) read_message(*message.next());
}
void read_message(const shape::Branch& message) {
  for (const shape::Leaf* each : *message.leaves()) read_message(*each);
}
void read_union(shape::Any type, const void* value) {
  if (value == nullptr) return;
  if (type == shape::Any::Leaf) read_message(*static_cast<const shape::Leaf*>(value));
  if (type == shape::Any::Branch) read_message(*static_cast<const shape::Branch*>(value));
}
void read_message(const shape::Shape& message) {
  keep(message.id());
  keep(message.part() > 0 ? 1 : 0);
  keep(static_cast<std::uint64_t>(message.side()));
  read_all(message.spot(), sizeof(shape::Spot));
  read_text(message.text());
  if (message.leaf() != nullptr) read_message(*message.leaf());
  if (message.branches() != nullptr) {
    for (const shape::Branch* each : *message.branches()) read_message(*each);
  }
  read_vector(message.bytes());
  if (message.spots() != nullptr) {
    read_all(message.spots()->Data(), message.spots()->size() * sizeof(shape::Spot));
  }
  read_union(message.any_type(), message.any());
  if (message.many() != nullptr && message.many_type() != nullptr) {
    for (flatbuffers::uoffset_t i = 0; i < message.many()->size(); ++i) {
      read_union(message.many_type()->GetEnum<shape::Any>(i), message.many()->GetAs<void>(i));
    }
  }
  for (const flatbuffers::String* each : *message.texts()) read_text(each);
}

template <class T>
void open_as(const message_view& view) {
  if (const T* message = open_message<T>(view)) read_message(*message);
}

}  // namespace
}  // namespace cyto::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cyto;
  using namespace cyto::fuzz;
  input in(data, size);
  const auto which = in.take<std::uint8_t>();
  const std::string_view bytes = in.rest();
  // A record ends below its header, at a line or at 16 bytes below one; it begins where it begins.
  const std::size_t end =
      round_up(bytes.size() + line_bytes, line_bytes) - (which & 0x80U ? 16 : 0);
  auto* const lines =
      static_cast<std::byte*>(std::aligned_alloc(line_bytes, round_up(end, line_bytes)));
  std::byte* const begin = lines + end - bytes.size();
  std::memset(lines, 0, static_cast<std::size_t>(begin - lines));
  if (!bytes.empty()) std::memcpy(begin, bytes.data(), bytes.size());
  message_view view;
  view.data = begin;
  view.size = static_cast<std::uint32_t>(bytes.size());
  switch (which & 0x7fU) {
    case 0:
      open_as<Update>(view);
      break;
    case 1:
      open_as<revdeps::Stanza>(view);
      break;
    case 2:
      open_as<hello::Tick>(view);
      break;
    case 3:
      open_as<tree::Node>(view);
      break;
    case 4:
      open_as<orders::Order>(view);
      break;
    case 5:
      open_as<orders::Execution>(view);
      break;
    case 6:
      open_as<shape::Shape>(view);
      break;
    case 7:
      open_as<journal::Event>(view);
      break;
    case 8:
      open_as<journal::Final>(view);
      break;
    case 9:
      open_as<journal::Count>(view);
      break;
    case 10:
      open_as<closure::Package>(view);
      break;
    case 11:
      open_as<closure::Provided>(view);
      break;
    case 12:
      open_as<closure::Need>(view);
      break;
    case 13:
      open_as<closure::Reached>(view);
      break;
    case 14:
      open_as<closure::Missing>(view);
      break;
    case 15:
      open_as<CellUpdate>(view);
      break;
    default:
      open_as<tree::Aligned>(view);
  }
  std::free(lines);
  return 0;
}
