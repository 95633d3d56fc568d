#include "lyre/server/route_table.h"

#include <gtest/gtest.h>

namespace lyre::server {
namespace {

Handler answer(int status) {
  return [status](const HttpRequest&, const ServerState&) {
    HttpResponse response;
    response.status = status;
    return response;
  };
}

RouteTable table() {
  RouteTable routes;
  routes.add("GET", "/a", answer(1));
  routes.add("POST", "/a", answer(2));
  routes.add("POST", "/a/b", answer(3));
  return routes;
}

TEST(RouteTable, FindsByMethodAndWholePath) {
  const RouteTable routes = table();
  EXPECT_NE(routes.find("GET", "/a").handler, nullptr);
  EXPECT_NE(routes.find("POST", "/a/b").handler, nullptr);
  EXPECT_NE(routes.find("GET", "/a").handler, routes.find("POST", "/a").handler);
}

TEST(RouteTable, HeadIsTheGet) {
  const RouteTable routes = table();
  EXPECT_EQ(routes.find("HEAD", "/a").handler, routes.find("GET", "/a").handler);
  EXPECT_EQ(routes.find("HEAD", "/a/b").handler, nullptr);
}

TEST(RouteTable, WrongMethodTellsTheRightOnes) {
  const auto match = table().find("DELETE", "/a");
  EXPECT_EQ(match.handler, nullptr);
  EXPECT_EQ(match.allow, "GET, HEAD, POST, OPTIONS");
  EXPECT_EQ(table().find("GET", "/a/b").allow, "POST, OPTIONS");
}

TEST(RouteTable, UnknownPathAllowsNothing) {
  for (const char* path : {"", "/", "/a/", "/A", "/a/b/c", "a"}) {
    const auto match = table().find("GET", path);
    EXPECT_EQ(match.handler, nullptr) << path;
    EXPECT_EQ(match.allow, "") << path;
  }
}

TEST(RouteTable, TellsWhatMustWaitForTheServerToBeReady) {
  RouteTable routes = table();
  routes.add("GET", "/late", answer(4), Admission::kReady);
  EXPECT_EQ(routes.find("GET", "/a").admission, Admission::kAlways);
  EXPECT_EQ(routes.find("HEAD", "/late").admission, Admission::kReady);
  EXPECT_EQ(routes.find("POST", "/late").admission, Admission::kAlways);  // 405 needs no model
}

TEST(RouteTable, ListsInOrder) {
  EXPECT_EQ(table().list(), (std::vector<std::string>{"GET /a", "POST /a", "POST /a/b"}));
}

}  // namespace
}  // namespace lyre::server
