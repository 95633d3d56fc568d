#include "lyre/inspect_devices.h"

#include <boost/json.hpp>
#include <cstdio>
#include <iostream>
#include <utility>

namespace lyre::command {
namespace json = boost::json;
namespace {

std::string gigabytes(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f GB", bytes / 1e9);
  return text;
}

std::string version_text(int version) {  // 13000 is 13.0
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

const char* format_name(bool fp8) { return fp8 ? "fp8" : "bf16"; }

json::value to_json(const Result<GpuBandwidth>& bandwidth) {
  if (!bandwidth) return json::object{{"error", bandwidth.error().message}};
  return json::object{{"read_bytes_per_second", bandwidth->read_bytes_per_second},
                      {"copy_bytes_per_second", bandwidth->copy_bytes_per_second},
                      {"upload_bytes_per_second", bandwidth->upload_bytes_per_second}};
}

json::object to_json(const DeviceFit& fit) {
  return {{"weights", format_name(fit.fp8_weights)},
          {"kv", format_name(fit.fp8_kv)},
          {"weight_bytes", fit.weight_bytes},
          {"kv_bytes_per_token", fit.kv_bytes_per_token},
          {"kv_tokens", fit.kv_tokens},
          {"sequences_of_4096_tokens", fit.long_sequences},
          {"sequences_of_1000_tokens", fit.short_sequences}};
}

}  // namespace

Result<std::vector<Gpu>> find_gpus(std::optional<int> index) {
  if (!built_with_cuda()) {
    return Error{ErrorCode::kUnavailable,
                 "--device: this build has no CUDA backends, so no GPU is used"};
  }
  std::vector<Gpu> gpus = list_gpus();
  if (gpus.empty()) {
    return Error{ErrorCode::kNotFound,
                 "--device: no GPU was found that the CUDA backends can use (nvidia-smi shows what "
                 "the driver sees)"};
  }
  if (!index) return gpus;
  for (const Gpu& gpu : gpus) {
    if (gpu.index == *index) return std::vector<Gpu>{gpu};
  }
  return Error{ErrorCode::kNotFound, "--device: expected 0 to " +
                                         std::to_string(gpus.back().index) + ", found " +
                                         std::to_string(*index)};
}

std::vector<DeviceReport> inspect_devices(const std::vector<Gpu>& gpus, const ModelReport& model) {
  std::vector<DeviceReport> reports;
  for (const Gpu& gpu : gpus) {
    DeviceReport report{.gpu = gpu, .bandwidth = measure_gpu_bandwidth(gpu.index), .fits = {}};
    if (model.language_model) {
      report.fits =
          device_fits(*model.language_model, model.codec ? &*model.codec : nullptr, gpu.free_bytes);
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

void print(const DeviceReport& report) {
  const Gpu& gpu = report.gpu;
  std::cout << "GPU " << gpu.index << "  " << gpu.name << '\n'
            << "  compute capability " << gpu.capability_major << '.' << gpu.capability_minor
            << ", " << gpu.multiprocessors << " multiprocessors, driver for CUDA "
            << version_text(gpu.driver_version) << '\n'
            << "  memory " << gigabytes(static_cast<double>(gpu.memory_bytes)) << ", free "
            << gigabytes(static_cast<double>(gpu.free_bytes)) << '\n';
  if (report.bandwidth) {
    std::cout << "  measured: reads " << gigabytes(report.bandwidth->read_bytes_per_second)
              << "/s, copies " << gigabytes(report.bandwidth->copy_bytes_per_second)
              << "/s, uploads " << gigabytes(report.bandwidth->upload_bytes_per_second) << "/s\n";
  } else {
    std::cout << "  not measured: " << report.bandwidth.error().message << '\n';
  }
  if (report.fits.empty()) return;
  std::cout
      << "  what fits into the free memory (less "
      << gigabytes(static_cast<double>(kDeviceReserveBytes)) << " for all else):\n"
      << "    weights            KV    bytes a token      tokens  sequences of 4096  of 1000\n";
  for (const DeviceFit& fit : report.fits) {
    char row[160];
    std::snprintf(row, sizeof row, "    %-4s %10s    %-4s %14lld %11lld %18lld %8lld\n",
                  format_name(fit.fp8_weights),
                  gigabytes(static_cast<double>(fit.weight_bytes)).c_str(), format_name(fit.fp8_kv),
                  static_cast<long long>(fit.kv_bytes_per_token),
                  static_cast<long long>(fit.kv_tokens), static_cast<long long>(fit.long_sequences),
                  static_cast<long long>(fit.short_sequences));
    std::cout << row;
  }
}

std::string to_json(const std::vector<DeviceReport>& reports) {
  json::array devices;
  for (const DeviceReport& report : reports) {
    const Gpu& gpu = report.gpu;
    json::array fits;
    for (const DeviceFit& fit : report.fits) fits.push_back(to_json(fit));
    devices.push_back(json::object{
        {"index", gpu.index},
        {"name", gpu.name},
        {"compute_capability",
         std::to_string(gpu.capability_major) + "." + std::to_string(gpu.capability_minor)},
        {"multiprocessors", gpu.multiprocessors},
        {"memory_bytes", gpu.memory_bytes},
        {"free_bytes", gpu.free_bytes},
        {"l2_bytes", gpu.l2_bytes},
        {"driver_cuda_version", version_text(gpu.driver_version)},
        {"bandwidth", to_json(report.bandwidth)},
        {"reserve_bytes", kDeviceReserveBytes},
        {"fits", std::move(fits)}});
  }
  return json::serialize(devices);
}

}  // namespace lyre::command
