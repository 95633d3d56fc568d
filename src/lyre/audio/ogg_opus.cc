#include "lyre/audio/ogg_opus.h"

#include <ogg/ogg.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "lyre/base/check.h"

namespace lyre {
namespace {
using namespace std::string_view_literals;

constexpr int kPacketSamples = 960;  // 20 ms at 48 kHz
constexpr int kPacketsPerPage = 2;
// Tells the streams of one file apart; ours has one, and the same speech gives the same bytes.
constexpr int kSerial = 1;
constexpr size_t kLeastHeadBytes = 19;
// "lyre" as the maker, and no comments; the lengths have 32 bits.
constexpr std::string_view kOpusTags = "OpusTags\4\0\0\0lyre\0\0\0\0"sv;

}  // namespace

struct OggOpus::Stream {
  ogg_stream_state state{};
  std::vector<uint8_t> head;
  int64_t pre_skip = 0;  // samples at 48 kHz
  int64_t end = 0;       // of the packets so far, likewise, with the pre-skip
  int64_t packets = 0;   // with the two of the header
  int packets_in_page = 0;

  explicit Stream(std::span<const uint8_t> opus_head) : head(opus_head.begin(), opus_head.end()) {
    LYRE_CHECK(head.size() >= kLeastHeadBytes);
    pre_skip = head[10] | head[11] << 8;
    LYRE_CHECK(ogg_stream_init(&state, kSerial) == 0);
  }
  ~Stream() { ogg_stream_clear(&state); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void add(std::span<const uint8_t> bytes, int64_t granule, bool last) {
    ogg_packet packet{};
    // It is copied; the library's type is not const.
    packet.packet = const_cast<unsigned char*>(bytes.data());
    packet.bytes = static_cast<long>(bytes.size());
    packet.b_o_s = packets == 0 ? 1 : 0;
    packet.e_o_s = last ? 1 : 0;
    packet.granulepos = granule;
    packet.packetno = packets++;
    // Fails without memory only.
    LYRE_CHECK(ogg_stream_packetin(&state, &packet) == 0);
  }
  void flush(std::string& out) {
    ogg_page page{};
    while (ogg_stream_flush(&state, &page) != 0) {
      out.append(reinterpret_cast<const char*>(page.header), static_cast<size_t>(page.header_len));
      out.append(reinterpret_cast<const char*>(page.body), static_cast<size_t>(page.body_len));
    }
    packets_in_page = 0;
  }
};

OggOpus::OggOpus(std::span<const uint8_t> opus_head)
    : stream_(std::make_unique<Stream>(opus_head)) {}
OggOpus::~OggOpus() = default;
OggOpus::OggOpus(OggOpus&&) noexcept = default;
OggOpus& OggOpus::operator=(OggOpus&&) noexcept = default;

void OggOpus::begin(std::string& out) {
  // Each on pages of its own.
  stream_->add(stream_->head, 0, false);
  stream_->flush(out);
  stream_->add({reinterpret_cast<const uint8_t*>(kOpusTags.data()), kOpusTags.size()}, 0, false);
  stream_->flush(out);
}

void OggOpus::write(std::span<const uint8_t> packet, std::string& out) {
  stream_->end += kPacketSamples;
  stream_->add(packet, stream_->end, false);
  if (++stream_->packets_in_page == kPacketsPerPage) stream_->flush(out);
}

void OggOpus::finish(std::span<const uint8_t> packet, int64_t samples, std::string& out) {
  const int64_t with_packet = stream_->end + kPacketSamples;
  stream_->add(packet, std::min(with_packet, stream_->pre_skip + samples), true);
  stream_->flush(out);
}

}  // namespace lyre
