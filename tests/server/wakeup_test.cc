#include "lyre/server/wakeup.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <memory>
#include <thread>

namespace lyre::server {
namespace {
namespace net = boost::asio;

TEST(Wakeup, AWakeBeforeTheWaitIsNotLost) {
  net::io_context context(1);
  const auto wakeup = std::make_shared<Wakeup>(context);
  wakeup->wake();
  context.run();
  context.restart();
  bool returned = false;
  net::co_spawn(
      context,
      [&]() -> net::awaitable<void> {
        co_await wakeup->wait();
        returned = true;
      },
      net::detached);
  context.poll();
  EXPECT_TRUE(returned);
}

TEST(Wakeup, WaitsForTheNextWake) {
  net::io_context context(1);
  const auto wakeup = std::make_shared<Wakeup>(context);
  int returns = 0;
  net::co_spawn(
      context,
      [&]() -> net::awaitable<void> {
        for (;;) {
          co_await wakeup->wait();
          ++returns;
        }
      },
      net::detached);
  context.poll();
  EXPECT_EQ(returns, 0);
  for (int expected = 1; expected <= 3; ++expected) {
    wakeup->wake();
    wakeup->wake();  // merged: the first is still under way
    context.poll();
    EXPECT_EQ(returns, expected);
    context.poll();
    EXPECT_EQ(returns, expected);
  }
}

TEST(Wakeup, CarriesEveryValueBetweenThreads) {
  net::io_context context(1);
  const auto wakeup = std::make_shared<Wakeup>(context);
  std::atomic<int> written{0};
  constexpr int kLast = 20'000;
  int seen = 0;
  net::co_spawn(
      context,
      [&]() -> net::awaitable<void> {
        // The pattern of every reader: look, and only then wait. A lost wake would hang here.
        while ((seen = written.load(std::memory_order_acquire)) < kLast) co_await wakeup->wait();
      },
      net::detached);
  std::thread writer([&] {
    for (int i = 1; i <= kLast; ++i) {
      written.store(i, std::memory_order_release);
      wakeup->wake();
    }
  });
  context.run();
  writer.join();
  EXPECT_EQ(seen, kLast);
}

TEST(Wakeup, OutlivesItsOwnerWhileAMessageIsUnderWay) {
  net::io_context context(1);
  auto wakeup = std::make_shared<Wakeup>(context);
  const std::weak_ptr<Wakeup> watched = wakeup;
  wakeup->wake();
  wakeup.reset();
  EXPECT_FALSE(watched.expired());
  context.run();
  EXPECT_TRUE(watched.expired());
}

}  // namespace
}  // namespace lyre::server
