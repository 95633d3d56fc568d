#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace lyre {

/// Puts Opus packets of 20 ms into the pages of an Ogg stream (RFC 3533, RFC 7845). A page holds
/// two packets: audio leaves after 40 ms at the latest, and headers take 6 kbit/s.
class OggOpus {
 public:
  /// opus_head: the identification header of RFC 7845, 5.1.
  explicit OggOpus(std::span<const uint8_t> opus_head);
  ~OggOpus();
  OggOpus(OggOpus&&) noexcept;
  OggOpus& operator=(OggOpus&&) noexcept;

  /// The pages before the first packet.
  void begin(std::string& out);
  /// Appends the pages that are full.
  void write(std::span<const uint8_t> packet, std::string& out);
  /// The last packet. samples: of the whole stream, at 48 kHz; what the packets hold beyond them,
  /// players leave out.
  void finish(std::span<const uint8_t> packet, int64_t samples, std::string& out);

 private:
  struct Stream;
  std::unique_ptr<Stream> stream_;
};

}  // namespace lyre
