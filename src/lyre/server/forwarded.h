#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/server/http_message.h"

namespace lyre::server {

/// Addresses that begin with the same bits, "10.0.0.0/8", "fd00::/8", or one address.
class AddressRange {
 public:
  /// kInvalidArgument says what was expected and found.
  static Result<AddressRange> parse(std::string_view text);
  /// An IPv4 address in IPv6 form ("::ffff:10.0.0.1") is the IPv4 address. False for what is none.
  bool contains(std::string_view address) const;

 private:
  std::array<uint8_t, 16> bytes_{};
  int bits_ = 0;  // of 128
};

/// The address of the client: that of the peer, or, if the peer is a proxy that is trusted, the
/// last address of X-Forwarded-For (else Forwarded) that is not one itself.
std::string client_address(const std::string& peer, const HttpRequest& request,
                           const std::vector<AddressRange>& trusted_proxies);

}  // namespace lyre::server
