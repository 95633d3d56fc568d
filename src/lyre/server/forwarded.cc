#include "lyre/server/forwarded.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

#include "lyre/base/quote.h"

namespace lyre::server {
namespace {
using Bytes = std::array<uint8_t, 16>;
constexpr int kIpv4Prefix = 96;  // bits before an IPv4 address in IPv6 form

struct Address {
  Bytes bytes{};
  bool ipv4 = false;
};

std::optional<Address> parse_address(std::string_view text) {
  Address address;
  const std::string terminated(text);
  in_addr v4;
  if (::inet_pton(AF_INET, terminated.c_str(), &v4) == 1) {
    address.bytes[10] = address.bytes[11] = 0xff;
    std::memcpy(address.bytes.data() + 12, &v4, 4);
    address.ipv4 = true;
    return address;
  }
  in6_addr v6;
  if (::inet_pton(AF_INET6, terminated.c_str(), &v6) != 1) return std::nullopt;
  std::memcpy(address.bytes.data(), &v6, 16);
  return address;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// "10.0.0.1", "10.0.0.1:80", "[::1]:80", with or without quotes: the address alone.
std::string_view without_port(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    text = text.substr(1, text.size() - 2);
  }
  if (text.starts_with('[')) return text.substr(1, text.find(']') - 1);
  if (std::count(text.begin(), text.end(), ':') == 1) return text.substr(0, text.find(':'));
  return text;
}

/// What stands after "for=" in an element of Forwarded (RFC 7239).
std::string_view for_of(std::string_view element) {
  while (!element.empty()) {
    const size_t end = element.find(';');
    const std::string_view pair = trimmed(element.substr(0, end));
    element = end == element.npos ? std::string_view() : element.substr(end + 1);
    if (pair.size() > 4 && (pair[0] | 0x20) == 'f' && (pair[1] | 0x20) == 'o' &&
        (pair[2] | 0x20) == 'r' && pair[3] == '=') {
      return pair.substr(4);
    }
  }
  return {};
}

/// All values of the header, the last element first.
std::vector<std::string_view> elements_from_the_end(const HttpRequest& request,
                                                    std::string_view name) {
  std::vector<std::string_view> elements;
  for (const HttpHeader& header : request.headers) {
    if (header.name != name) continue;
    std::string_view rest = header.value;
    for (bool more = true; more;) {
      const size_t comma = rest.find(',');
      elements.push_back(trimmed(rest.substr(0, comma)));
      more = comma != rest.npos;
      if (more) rest.remove_prefix(comma + 1);
    }
  }
  std::reverse(elements.begin(), elements.end());
  return elements;
}

}  // namespace

Result<AddressRange> AddressRange::parse(std::string_view text) {
  const size_t slash = text.find('/');
  const auto address = parse_address(text.substr(0, slash));
  AddressRange range;
  const int most_bits = address && address->ipv4 ? 32 : 128;
  int bits = most_bits;
  bool good = address.has_value();
  if (good && slash != text.npos) {
    const std::string_view number = text.substr(slash + 1);
    const auto [end, failure] = std::from_chars(number.data(), number.data() + number.size(), bits);
    good = failure == std::errc() && end == number.data() + number.size() && bits >= 0 &&
           bits <= most_bits;
  }
  if (!good) {
    return Error{ErrorCode::kInvalidArgument,
                 "expected an address or a range as 10.0.0.0/8, found " + quote(text)};
  }
  range.bytes_ = address->bytes;
  range.bits_ = address->ipv4 ? kIpv4Prefix + bits : bits;
  return range;
}

bool AddressRange::contains(std::string_view address) const {
  const auto other = parse_address(address);
  if (!other) return false;
  for (int bit = 0; bit < bits_; ++bit) {
    const auto byte = static_cast<size_t>(bit / 8);
    if (((bytes_[byte] ^ other->bytes[byte]) >> (7 - bit % 8)) & 1) return false;
  }
  return true;
}

std::string client_address(const std::string& peer, const HttpRequest& request,
                           const std::vector<AddressRange>& trusted_proxies) {
  const auto trusted = [&](std::string_view address) {
    return std::any_of(trusted_proxies.begin(), trusted_proxies.end(),
                       [&](const AddressRange& range) { return range.contains(address); });
  };
  std::string client = peer;
  if (!trusted(peer)) return client;
  bool found = false;
  for (const char* name : {"x-forwarded-for", "forwarded"}) {
    for (std::string_view element : elements_from_the_end(request, name)) {
      if (name[0] == 'f') element = for_of(element);
      element = without_port(element);
      // What a proxy did not see for itself is the client's own word and may be anything.
      if (!parse_address(element)) return client;
      found = true;
      client = std::string(element);
      if (!trusted(client)) return client;
    }
    if (found) return client;
  }
  return client;
}

}  // namespace lyre::server
