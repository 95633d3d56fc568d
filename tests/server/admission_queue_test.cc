#include "lyre/server/admission_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace lyre::server {
namespace {
using Place = AdmissionQueue::Place;

/// Enters, and writes the name down when the place is granted.
class Entrance {
 public:
  explicit Entrance(const AdmissionQueue::Limits& limits) : queue(limits) {}
  Place enter(const std::string& client, const std::string& name = "") {
    auto place = queue.enter(client, [this, name] { granted.push_back(name); });
    EXPECT_TRUE(place.ok()) << place.error().message;
    return place ? *std::move(place) : Place();
  }
  std::string refusal(const std::string& client) {
    const auto place = queue.enter(client, [] {});
    return place ? "none" : place.error().message;
  }

  AdmissionQueue queue;
  std::vector<std::string> granted;
};

TEST(AdmissionQueue, FreePlacesAreGrantedAtOnce) {
  Entrance entrance({.most_running = 2});
  const Place a = entrance.enter("a", "1"), b = entrance.enter("b", "2");
  EXPECT_TRUE(a.granted());
  EXPECT_TRUE(b.granted());
  EXPECT_EQ(entrance.granted, (std::vector<std::string>{"1", "2"}));
  const Place c = entrance.enter("c", "3");
  EXPECT_FALSE(c.granted());
  EXPECT_EQ(entrance.queue.load().running, 2);
  EXPECT_EQ(entrance.queue.load().waiting, 1);
}

TEST(AdmissionQueue, ADefaultPlaceIsNone) { EXPECT_FALSE(Place().granted()); }

TEST(AdmissionQueue, ClientsTakeTurnsAndTheRequestsOfOneKeepTheirOrder) {
  Entrance entrance({.most_running = 1});
  std::optional<Place> running = entrance.enter("a");
  std::vector<Place> waiting;
  for (const char* name : {"a1", "a2", "a3", "b1", "b2", "c1"}) {
    waiting.push_back(entrance.enter(std::string(1, *name), name));
  }
  entrance.granted.clear();
  running.reset();
  for (const size_t next : {0u, 3u, 5u, 1u, 4u}) waiting[next] = Place();
  EXPECT_EQ(entrance.granted, (std::vector<std::string>{"a1", "b1", "c1", "a2", "b2", "a3"}));
}

TEST(AdmissionQueue, WhoGivesUpIsPassedOver) {
  Entrance entrance({.most_running = 1});
  std::optional<Place> running = entrance.enter("a");
  std::optional<Place> gone = entrance.enter("a", "gone"), stays = entrance.enter("a", "stays");
  std::optional<Place> only = entrance.enter("b", "only");
  entrance.granted.clear();
  gone.reset();
  only.reset();
  EXPECT_EQ(entrance.queue.load().waiting, 1);
  running.reset();
  EXPECT_EQ(entrance.granted, (std::vector<std::string>{"stays"}));
  EXPECT_TRUE(stays->granted());
  stays.reset();
  EXPECT_EQ(entrance.queue.load().running, 0);
}

TEST(AdmissionQueue, RefusesWhenItIsFullAndSaysWhy) {
  Entrance entrance({.most_running = 1, .most_waiting = 2, .most_waiting_of_a_client = 1});
  const Place running = entrance.enter("a"), first = entrance.enter("a");
  EXPECT_EQ(entrance.refusal("a"), "all places are taken and 1 requests of yours wait already");
  const Place second = entrance.enter("b");
  EXPECT_EQ(entrance.refusal("c"), "all places are taken and 2 requests wait already");
  EXPECT_EQ(entrance.queue.load().refused, 2);
  EXPECT_EQ(entrance.queue.load().waiting, 2);
}

TEST(AdmissionQueue, NobodyWaitsWhereNoneMay) {
  Entrance entrance({.most_running = 1, .most_waiting = 0});
  std::optional<Place> running = entrance.enter("a");
  EXPECT_NE(entrance.refusal("b"), "none");
  running.reset();
  EXPECT_TRUE(entrance.enter("b").granted());
}

TEST(AdmissionQueue, AMovedPlaceIsHeldOnce) {
  Entrance entrance({.most_running = 2});
  Place a = entrance.enter("a");
  Place b = std::move(a);
  EXPECT_FALSE(a.granted());  // NOLINT: what is left behind is no place
  EXPECT_TRUE(b.granted());
  b = entrance.enter("b");
  EXPECT_EQ(entrance.queue.load().running, 1);
}

TEST(AdmissionQueue, PlacesMayOutliveTheQueue) {
  std::optional<AdmissionQueue> queue(AdmissionQueue::Limits{.most_running = 1});
  bool woken = false;
  std::optional<Place> running = *queue->enter("a", [] {});
  const Place waiting = *queue->enter("a", [&] { woken = true; });
  queue.reset();
  running.reset();
  EXPECT_TRUE(woken);
  EXPECT_TRUE(waiting.granted());
}

TEST(AdmissionQueue, ThreadsNeverHoldMorePlacesThanThereAre) {
  constexpr int kPlaces = 3, kThreads = 8, kTurns = 300;
  AdmissionQueue queue({.most_running = kPlaces, .most_waiting = kThreads});
  std::atomic<int> running{0}, most{0}, wakes{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kTurns; ++i) {
        std::atomic<bool> woken{false};
        auto place = queue.enter(std::to_string(t % 3), [&] {
          ++wakes;
          woken = true;
          woken.notify_one();
        });
        ASSERT_TRUE(place.ok());
        woken.wait(false);
        ASSERT_TRUE(place->granted());
        const int now = ++running;
        for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
        }
        --running;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most, kPlaces);
  EXPECT_EQ(wakes, kThreads * kTurns);
  EXPECT_EQ(queue.load().running, 0);
  EXPECT_EQ(queue.load().waiting, 0);
}

}  // namespace
}  // namespace lyre::server
