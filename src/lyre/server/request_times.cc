#include "lyre/server/request_times.h"

#include <algorithm>
#include <vector>

namespace lyre::server {
namespace {

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*std::max_element(values.begin(), middle) + *middle) / 2;
}

}  // namespace

void RequestTimes::add(const AccessRecord& record) {
  const bool spoken = record.speech && (record.finish == "stop" || record.finish == "length");
  if (!spoken || record.warm_up || record.early) return;
  const Times times = {record.first_audio_ms, record.duration_ms};
  const std::lock_guard lock(mutex_);
  if (!first_) {
    first_ = times;
  } else {
    later_[count_++ % later_.size()] = times;
  }
}

std::optional<RequestTimes::Times> RequestTimes::first() const {
  const std::lock_guard lock(mutex_);
  return first_;
}

std::optional<RequestTimes::Times> RequestTimes::steady() const {
  std::vector<double> first_audio_ms, total_ms;
  {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < std::min(count_, later_.size()); ++i) {
      first_audio_ms.push_back(later_[i].first_audio_ms);
      total_ms.push_back(later_[i].total_ms);
    }
  }
  if (total_ms.empty()) return std::nullopt;
  return Times{median(std::move(first_audio_ms)), median(std::move(total_ms))};
}

}  // namespace lyre::server
