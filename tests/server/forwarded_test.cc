#include "lyre/server/forwarded.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace lyre::server {
namespace {

bool contains(const char* range, const char* address) {
  const auto parsed = AddressRange::parse(range);
  EXPECT_TRUE(parsed.ok()) << range;
  return parsed && parsed->contains(address);
}

std::string client(const char* peer, std::vector<HttpHeader> headers) {
  HttpRequest request;
  request.headers = std::move(headers);
  return client_address(peer, request,
                        {*AddressRange::parse("10.0.0.0/8"), *AddressRange::parse("::1")});
}

TEST(AddressRange, HoldsWhatBeginsWithItsBits) {
  EXPECT_TRUE(contains("10.0.0.0/8", "10.255.0.1"));
  EXPECT_FALSE(contains("10.0.0.0/8", "11.0.0.0"));
  EXPECT_TRUE(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
  EXPECT_TRUE(contains("192.168.1.128/25", "192.168.1.200"));
  EXPECT_FALSE(contains("192.168.1.128/25", "192.168.1.100"));
  EXPECT_TRUE(contains("0.0.0.0/0", "1.2.3.4"));
  EXPECT_FALSE(contains("0.0.0.0/0", "2001:db8::1"));
  EXPECT_TRUE(contains("fd00::/8", "fd12::1"));
  EXPECT_TRUE(contains("::1", "::1"));
  EXPECT_FALSE(contains("::/0", "unix"));
}

TEST(AddressRange, SaysWhatItExpected) {
  for (const char* bad :
       {"", "ten", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "1/2/3"}) {
    const auto range = AddressRange::parse(bad);
    ASSERT_FALSE(range.ok()) << bad;
    EXPECT_NE(range.error().message.find("10.0.0.0/8"), std::string::npos);
  }
}

TEST(ClientAddress, OnlyATrustedProxyIsBelieved) {
  EXPECT_EQ(client("1.2.3.4", {{"x-forwarded-for", "9.9.9.9"}}), "1.2.3.4");
  EXPECT_EQ(client("10.0.0.1", {{"x-forwarded-for", "9.9.9.9"}}), "9.9.9.9");
  EXPECT_EQ(client("10.0.0.1", {}), "10.0.0.1");
}

TEST(ClientAddress, IsTheLastThatIsNoTrustedProxy) {
  // The first is what the client itself had sent.
  EXPECT_EQ(client("10.0.0.1", {{"x-forwarded-for", "7.7.7.7, 9.9.9.9, 10.0.0.2"}}), "9.9.9.9");
  EXPECT_EQ(client("10.0.0.1", {{"x-forwarded-for", "7.7.7.7"}, {"x-forwarded-for", "9.9.9.9"}}),
            "9.9.9.9");
  EXPECT_EQ(client("::1", {{"x-forwarded-for", "10.0.0.3, 10.0.0.2"}}), "10.0.0.3");
}

TEST(ClientAddress, ReadsForwardedAndPorts) {
  EXPECT_EQ(client("10.0.0.1", {{"forwarded", "for=7.7.7.7;proto=https, proto=http;For=9.9.9.9"}}),
            "9.9.9.9");
  EXPECT_EQ(client("10.0.0.1", {{"forwarded", "for=\"[2001:db8::1]:4711\""}}), "2001:db8::1");
  EXPECT_EQ(client("10.0.0.1", {{"x-forwarded-for", "9.9.9.9:80"}}), "9.9.9.9");
}

TEST(ClientAddress, WhatIsNoAddressIsNotTaken) {
  for (const char* odd : {"unknown", "_hidden", "", "[", "\"", ",,", "9.9.9.9, <script>"}) {
    EXPECT_EQ(client("10.0.0.1", {{"x-forwarded-for", odd}}), "10.0.0.1") << odd;
    EXPECT_EQ(client("10.0.0.1", {{"forwarded", odd}}), "10.0.0.1") << odd;
  }
}

}  // namespace
}  // namespace lyre::server
