// The queue against an obvious model of it, over random orders of coming, leaving and giving up.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "lyre/server/admission_queue.h"

namespace lyre::server {
namespace {

struct Model {
  AdmissionQueue::Limits limits;
  std::vector<int> running;
  std::deque<std::pair<std::string, std::deque<int>>> lines;  // whose turn it is first

  int waiting() const {
    size_t all = 0;
    for (const auto& [client, line] : lines) all += line.size();
    return static_cast<int>(all);
  }
  /// False: refused.
  bool enter(const std::string& client, int request) {
    if (static_cast<int>(running.size()) < limits.most_running) {
      running.push_back(request);
      return true;
    }
    if (waiting() >= limits.most_waiting) return false;
    for (auto& [name, line] : lines) {
      if (name != client) continue;
      if (static_cast<int>(line.size()) >= limits.most_waiting_of_a_client) return false;
      line.push_back(request);
      return true;
    }
    lines.push_back({client, {request}});
    return true;
  }
  void leave(int request) {
    if (std::erase(running, request) == 1) {
      if (lines.empty()) return;
      auto turn = std::move(lines.front());
      lines.pop_front();
      running.push_back(turn.second.front());
      turn.second.pop_front();
      if (!turn.second.empty()) lines.push_back(std::move(turn));
      return;
    }
    for (auto& [client, line] : lines) std::erase(line, request);
    std::erase_if(lines, [](const auto& line) { return line.second.empty(); });
  }
};

TEST(AdmissionQueueProperty, DoesWhatTheModelDoes) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    std::mt19937 random(seed);
    const auto draw = [&](int below) {
      return static_cast<int>(random() % static_cast<uint32_t>(below));
    };
    Model model;
    model.limits = {1 + draw(4), draw(12), 1 + draw(6)};
    AdmissionQueue queue(model.limits);
    std::map<int, int> wakes;                     // by request; places that go wake others
    std::map<int, AdmissionQueue::Place> places;  // by request
    for (int request = 0; request < 500; ++request) {
      if (draw(2) == 0 || places.empty()) {
        const std::string client = std::to_string(draw(5));
        auto place = queue.enter(client, [&wakes, request] { ++wakes[request]; });
        ASSERT_EQ(place.ok(), model.enter(client, request)) << "seed " << seed;
        if (place) places.emplace(request, *std::move(place));
      } else {
        auto leaving = places.begin();
        std::advance(leaving, draw(static_cast<int>(places.size())));
        model.leave(leaving->first);
        places.erase(leaving);
      }
      for (const auto& [held, place] : places) {
        const bool runs = std::count(model.running.begin(), model.running.end(), held) == 1;
        ASSERT_EQ(place.granted(), runs) << "seed " << seed << ", request " << held;
        ASSERT_EQ(wakes[held], runs ? 1 : 0) << "seed " << seed << ", request " << held;
      }
      ASSERT_EQ(queue.load().running, static_cast<int>(model.running.size()));
      ASSERT_EQ(queue.load().waiting, model.waiting());
    }
  }
}

}  // namespace
}  // namespace lyre::server
