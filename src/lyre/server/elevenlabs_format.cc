#include "lyre/server/elevenlabs_format.h"

#include <string>

#include "lyre/base/quote.h"

namespace lyre::server {
namespace {

struct NamedFormat {
  std::string_view name;
  AudioFormat format;
};

constexpr NamedFormat kFormats[] = {
    {"mp3_22050_32", {AudioEncoding::kMp3, 22'050, 32'000}},
    {"mp3_24000_48", {AudioEncoding::kMp3, 24'000, 48'000}},
    {"mp3_44100_32", {AudioEncoding::kMp3, 44'100, 32'000}},
    {"mp3_44100_64", {AudioEncoding::kMp3, 44'100, 64'000}},
    {"mp3_44100_96", {AudioEncoding::kMp3, 44'100, 96'000}},
    {kElevenLabsDefaultFormat, {AudioEncoding::kMp3, 44'100, 128'000}},
    {"mp3_44100_192", {AudioEncoding::kMp3, 44'100, 192'000}},
    {"opus_48000_32", {AudioEncoding::kOpus, 48'000, 32'000}},
    {"opus_48000_64", {AudioEncoding::kOpus, 48'000, 64'000}},
    {"opus_48000_96", {AudioEncoding::kOpus, 48'000, 96'000}},
    {"opus_48000_128", {AudioEncoding::kOpus, 48'000, 128'000}},
    {"opus_48000_192", {AudioEncoding::kOpus, 48'000, 192'000}},
    {"pcm_8000", {AudioEncoding::kPcm16, 8'000}},
    {"pcm_16000", {AudioEncoding::kPcm16, 16'000}},
    {"pcm_22050", {AudioEncoding::kPcm16, 22'050}},
    {"pcm_24000", {AudioEncoding::kPcm16, 24'000}},
    {"pcm_32000", {AudioEncoding::kPcm16, 32'000}},
    {"pcm_44100", {AudioEncoding::kPcm16, 44'100}},
    {"pcm_48000", {AudioEncoding::kPcm16, 48'000}},
    {"wav_8000", {AudioEncoding::kWav, 8'000}},
    {"wav_16000", {AudioEncoding::kWav, 16'000}},
    {"wav_22050", {AudioEncoding::kWav, 22'050}},
    {"wav_24000", {AudioEncoding::kWav, 24'000}},
    {"wav_32000", {AudioEncoding::kWav, 32'000}},
    {"wav_44100", {AudioEncoding::kWav, 44'100}},
    {"wav_48000", {AudioEncoding::kWav, 48'000}},
    {"ulaw_8000", {AudioEncoding::kMulaw, 8'000}},
    {"alaw_8000", {AudioEncoding::kAlaw, 8'000}},
};

}  // namespace

Result<AudioFormat> elevenlabs_format(std::string_view name) {
  std::string names;
  for (const NamedFormat& known : kFormats) {
    if (known.name == name) return known.format;
    if (!names.empty()) names += ", ";
    names += known.name;
  }
  return Error{ErrorCode::kInvalidArgument,
               "output_format: expected one of " + names + "; found " + quote(name)};
}

}  // namespace lyre::server
