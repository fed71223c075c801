// A reader, an observer and a successor of the writer, on a ring in which an honest writer's turns
// and a mad one's edits follow each other between any two of their steps.
#include "cyto/lane.hpp"

#include <array>

#include "fuzz/input.hpp"
#include "support/system.hpp"

namespace cyto::fuzz {
namespace {

constexpr std::uint64_t ring_bytes = 4096;

struct ends {
  ends() : system({"writer", "reader"}, {{0, 1}}, {ring_bytes, page_bytes}) {
    ring = system.where.map_ring(system.where.lane(0), true);
    seen = system.where.map_ring(system.where.lane(0), false);
    all = system.map_all();
  }
  output_line& sent() {
    return *reinterpret_cast<output_line*>(all.data() + system.where.slot(0).control_offset +
                                           sizeof(control));
  }
  input_line& taken() {
    return *reinterpret_cast<input_line*>(all.data() + system.where.slot(1).control_offset +
                                          sizeof(control));
  }
  control& writer() {
    return *reinterpret_cast<control*>(all.data() + system.where.slot(0).control_offset);
  }
  void clear() {
    std::memset(ring.data(), 0, ring_bytes);
    std::memset(static_cast<void*>(&sent()), 0, sizeof(output_line));
    std::memset(static_cast<void*>(&taken()), 0, sizeof(input_line));
    writer().commit.publish(0);
    for (auto& shape : writer().shapes) shape.publish(0);
  }

  test::small_system system;
  mapping ring;
  mapping seen;
  mapping all;
};

class play {
 public:
  explicit play(ends& on)
      : on_(on),
        write_{on.ring.data(), ring_bytes, on.writer().shapes},
        read_{on.seen.data(), ring_bytes, on.writer().shapes},
        book_(on.writer().shapes),
        writer_(write_, book_, on.sent(), on.taken().read_published, 0),
        reader_(read_, on.taken(), on.writer().commit, 0) {}

  void step(input& in) {
    switch (in.take<std::uint8_t>() % 12) {
      case 0:  // Any word of the ring.
        edit(on_.ring.data() + in.take<std::uint16_t>() % (ring_bytes / 8) * 8, in.number());
        break;
      case 1:  // A word of the header that the reader looks at next, or of one behind it.
        edit(reinterpret_cast<std::byte*>(&write_.header(at_ + in.take<std::uint8_t>() * 64U)) +
                 (in.take<std::uint8_t>() % 2) * 8,
             in.number());
        break;
      case 2:
        on_.writer().commit.publish(in.number());
        break;
      case 3:
        edit(reinterpret_cast<std::byte*>(&on_.sent()) + in.take<std::uint8_t>() % 8 * 8,
             in.number());
        break;
      case 4:
        on_.writer().shapes[in.take<std::uint8_t>() % shapes_max].publish(in.number());
        break;
      case 5:
        peek();
        break;
      case 6:
        observe();
        break;
      case 7:
        reader_.forget();
        at_ = committed_;
        break;
      case 8:
        keep(reader_.seal(++stamp_));
        reader_.give_back();
        committed_ = at_;
        break;
      case 9:
        honest_turn(in);
        break;
      case 10:
        successor();
        break;
      default:
        on_.taken().read_published.publish(in.number());
    }
  }

 private:
  static void edit(std::byte* at, std::uint64_t value) { std::memcpy(at, &value, sizeof value); }

  void peek() {
    message_view view;
    if (reader_.is_fenced()) return;
    const look found = reader_.peek(view);
    if (found == look::corrupt) reader_.fence();
    if (found != look::message) return;
    const std::byte* begin = on_.seen.data();
    require(view.data >= begin && view.data + view.size <= begin + 2 * ring_bytes,
            "a message lies in the ring");
    require(view.size + line_bytes + brief_header_bytes <= ring_bytes, "a message fits");
    require(view.stamp != 0 && view.stamp <= stamp_max, "a stamp is one that a clock reaches");
    read_all(view.data, view.size);
    const std::uint64_t before = reader_.position();
    reader_.take(view);
    require(reader_.position() - before >= view.size, "what is taken is passed");
    at_ = reader_.position();
  }

  void observe() {
    for (const lane_status& lane : lanes_of(on_.system.where)) keep(lane.in_flight);
    const lane_walk found = walk(read_, at_, on_.writer().commit.observe());
    require(found.count <= ring_bytes / line_bytes, "a walk ends");
    require(found.position - at_ <= ring_bytes, "a walk stays in the ring");
  }

  void honest_turn(input& in) {
    const std::size_t size = in.take<std::uint16_t>() % ring_bytes;
    static constexpr std::array<std::byte, ring_bytes> payload{};
    const std::size_t alignment = size % 3 == 0 ? 32 : 8;
    if (writer_.append(payload.data(), static_cast<std::uint32_t>(size), 1, alignment) !=
        status::ok) {
      return writer_.forget();
    }
    const std::uint64_t stamp = ++stamp_;
    writer_.seal(stamp);
    on_.writer().commit.publish(stamp);
    writer_.announce(stamp);
  }

  void successor() {
    const std::uint64_t commit = on_.writer().commit.observe();
    if (!recover_writer(write_, on_.sent(), on_.taken().read_published, commit)) return;
    book_ = shape_book(on_.writer().shapes);
    writer_ = lane_writer(write_, book_, on_.sent(), on_.taken().read_published, commit);
    stamp_ = std::max(stamp_, std::min(commit, stamp_max));
  }

  ends& on_;
  lane_ring write_;
  lane_ring read_;
  shape_book book_;
  lane_writer writer_;
  lane_reader reader_;
  std::uint64_t at_ = 0;  // The reader's position, as it should be.
  std::uint64_t committed_ = 0;
  std::uint64_t stamp_ = 0;
};

}  // namespace
}  // namespace cyto::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static cyto::fuzz::ends on;
  on.clear();
  cyto::fuzz::play play(on);
  for (cyto::fuzz::input in(data, size); !in.empty();) play.step(in);
  return 0;
}
