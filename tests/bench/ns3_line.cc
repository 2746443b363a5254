// A line of switches in ns-3: what is its own there is what is measured and compared here, the
// event scheduler, PointToPointNetDevice and its channel, DropTailQueue, FifoQueueDisc and
// PrioQueueDisc. With "fifo" and "priority" there is no IP stack between two devices, only a look at
// which way a frame goes: the least that ns-3 can do for a frame, so the fastest that it can be. With
// "internet" frames are what they are in most uses of ns-3: UDP datagrams from socket to socket,
// forwarded by its IPv4.
//
// Standard input: picoseconds to run, "fifo", "priority" or "internet", number of ports; for each port rate in
// bit/s and propagation in ps; number of flows; for each flow first port, last port, class (0 is
// the highest), bytes with preamble, first birth in ps, gap in ps. The 12 bytes between frames are the
// device's InterframeGap: they hold the line after a frame and do not delay it, as in qnet.
// Standard output: "flow birth latency" for each frame delivered, in picoseconds. Standard error:
// frames sent, frames delivered, packet-hops, CPU seconds of the run.

#include "ns3/core-module.h"
#include "ns3/fifo-queue-disc.h"
#include "ns3/internet-module.h"
#include "ns3/network-module.h"
#include "ns3/point-to-point-module.h"
#include "ns3/prio-queue-disc.h"
#include "ns3/traffic-control-helper.h"

#include <ctime>
#include <iostream>
#include <vector>

using namespace ns3;

// The point-to-point header counts as two of the bytes.
static const uint32_t PPP_BYTES = 2;
static const uint32_t UDP_AND_IP_BYTES = 28;
static const uint64_t GAP_BYTES = 12;

struct Flow
{
    uint32_t first, last, level, allBytes;
    int64_t birth, gap;
};

class Mark : public Tag
{
  public:
    static TypeId GetTypeId()
    {
        static TypeId tid = TypeId("qnet::Mark").SetParent<Tag>().AddConstructor<Mark>();
        return tid;
    }

    TypeId GetInstanceTypeId() const override { return GetTypeId(); }

    uint32_t GetSerializedSize() const override { return 12; }

    void Serialize(TagBuffer to) const override
    {
        to.WriteU32(flow);
        to.WriteU64(birth);
    }

    void Deserialize(TagBuffer from) override
    {
        flow = from.ReadU32();
        birth = from.ReadU64();
    }

    void Print(std::ostream& to) const override { to << flow << ' ' << birth; }

    uint32_t flow{0};
    uint64_t birth{0};
};

class Item : public QueueDiscItem
{
  public:
    Item(Ptr<Packet> packet) : QueueDiscItem(packet, Address(), 0x0800) {}

    void AddHeader() override {}

    bool Mark() override { return false; }
};

struct Delivery
{
    uint32_t flow;
    int64_t birth, latency;
};

static std::vector<Flow> flows;
static std::vector<Ptr<PointToPointNetDevice>> senders;
static std::vector<Ptr<QueueDisc>> discs;
static std::vector<bool> busy;
static std::vector<Delivery> deliveries;
static uint64_t sent = 0, hops = 0;
static bool priority = false, internet = false;
static std::vector<Ptr<Socket>> sockets, sinks;

static void
Offer(uint32_t port, Ptr<Packet> packet, uint32_t level)
{
    if (!priority)
    {
        senders[port]->Send(packet, senders[port]->GetBroadcast(), 0x0800);
        return;
    }
    SocketPriorityTag tag;
    tag.SetPriority(level);
    packet->ReplacePacketTag(tag);
    discs[port]->Enqueue(Create<Item>(packet));
    if (!busy[port])
    {
        busy[port] = true;
        auto item = discs[port]->Dequeue();
        senders[port]->Send(item->GetPacket(), senders[port]->GetBroadcast(), 0x0800);
    }
}

static void
Deliver(const Mark& mark)
{
    int64_t now = Simulator::Now().GetPicoSeconds();
    deliveries.push_back({mark.flow, int64_t(mark.birth), now - int64_t(mark.birth)});
}

static void
Receive(Ptr<Socket> socket)
{
    while (Ptr<Packet> packet = socket->Recv())
    {
        Mark mark;
        packet->PeekPacketTag(mark);
        hops += flows[mark.flow].last - flows[mark.flow].first + 1;
        Deliver(mark);
    }
}

static void
Free(uint32_t port, Ptr<const Packet>)
{
    auto item = discs[port]->Dequeue();
    busy[port] = bool(item);
    if (item)
    {
        // The device is ready only after this event has been handled.
        Ptr<Packet> packet = item->GetPacket();
        Simulator::ScheduleNow(
            [port, packet] { senders[port]->Send(packet, senders[port]->GetBroadcast(), 0x0800); });
    }
}

static bool
Arrive(uint32_t port, Ptr<NetDevice>, Ptr<const Packet> packet, uint16_t, const Address&)
{
    ++hops;
    Mark mark;
    packet->PeekPacketTag(mark);
    const Flow& flow = flows[mark.flow];
    if (port == flow.last)
    {
        Deliver(mark);
    }
    else
    {
        Offer(port + 1, packet->Copy(), flow.level);
    }
    return true;
}

static void
Emit(uint32_t number)
{
    const Flow& flow = flows[number];
    Mark mark;
    mark.flow = number;
    mark.birth = Simulator::Now().GetPicoSeconds();
    Ptr<Packet> packet =
        Create<Packet>(flow.allBytes - PPP_BYTES - (internet ? UDP_AND_IP_BYTES : 0));
    packet->AddPacketTag(mark);
    ++sent;
    if (internet)
    {
        sockets[number]->Send(packet);
    }
    else
    {
        Offer(flow.first, packet, flow.level);
    }
    Simulator::Schedule(PicoSeconds(flow.gap), &Emit, number);
}

int
main()
{
    Time::SetResolution(Time::PS);
    std::ios::sync_with_stdio(false);
    int64_t end;
    std::string kind;
    uint32_t ports, count;
    std::cin >> end >> kind >> ports;
    priority = kind == "priority";
    internet = kind == "internet";
    NodeContainer nodes;
    nodes.Create(ports + 1);
    busy.resize(ports, false);
    std::vector<Ipv4Address> ends;
    if (internet)
    {
        InternetStackHelper().Install(nodes);
    }
    for (uint32_t port = 0; port < ports; ++port)
    {
        uint64_t rate;
        int64_t propagation;
        std::cin >> rate >> propagation;
        PointToPointHelper helper;
        helper.SetDeviceAttribute("DataRate", DataRateValue(DataRate(rate)));
        int64_t between = (GAP_BYTES * 8 * 1'000'000'000'000 + rate - 1) / rate;
        helper.SetDeviceAttribute("InterframeGap", TimeValue(PicoSeconds(between)));
        helper.SetDeviceAttribute("Mtu", UintegerValue(65000));
        helper.SetChannelAttribute("Delay", TimeValue(PicoSeconds(propagation)));
        helper.SetQueue("ns3::DropTailQueue<Packet>", "MaxSize", StringValue("1000000p"));
        auto pair = helper.Install(nodes.Get(port), nodes.Get(port + 1));
        auto device = DynamicCast<PointToPointNetDevice>(pair.Get(0));
        senders.push_back(device);
        if (internet)
        {
            Ipv4AddressHelper addresses;
            std::string network = "10.0." + std::to_string(port) + ".0";
            addresses.SetBase(network.c_str(), "255.255.255.0");
            ends.push_back(addresses.Assign(pair).GetAddress(1));
            // Its default is FQ-CoDel, which is not first come, first served.
            TrafficControlHelper().Uninstall(pair);
            continue;
        }
        pair.Get(1)->SetReceiveCallback(MakeBoundCallback(&Arrive, port));
        if (priority)
        {
            // Band 0 for the first level, band 1 for the second, and so on.
            auto disc = CreateObject<PrioQueueDisc>();
            disc->SetAttribute("Priomap", StringValue("0 1 2 3 3 3 3 3 3 3 3 3 3 3 3 3"));
            for (int band = 0; band < 4; ++band)
            {
                auto inner = CreateObject<FifoQueueDisc>();
                inner->SetAttribute("MaxSize", StringValue("1000000p"));
                inner->Initialize();
                auto one = CreateObject<QueueDiscClass>();
                one->SetQueueDisc(inner);
                disc->AddQueueDiscClass(one);
            }
            disc->Initialize();
            discs.push_back(disc);
            device->TraceConnectWithoutContext("PhyTxEnd", MakeBoundCallback(&Free, port));
        }
    }
    std::cin >> count;
    flows.resize(count);
    for (uint32_t i = 0; i < count; ++i)
    {
        Flow& flow = flows[i];
        std::cin >> flow.first >> flow.last >> flow.level >> flow.allBytes >> flow.birth >> flow.gap;
        Simulator::Schedule(PicoSeconds(flow.birth), &Emit, i);
    }
    if (internet)
    {
        Ipv4GlobalRoutingHelper::PopulateRoutingTables();
        auto udp = UdpSocketFactory::GetTypeId();
        for (uint32_t node = 0; node <= ports; ++node)
        {
            auto sink = Socket::CreateSocket(nodes.Get(node), udp);
            sink->SetAttribute("RcvBufSize", UintegerValue(1 << 30));
            sink->Bind(InetSocketAddress(Ipv4Address::GetAny(), 9));
            sink->SetRecvCallback(MakeCallback(&Receive));
            sinks.push_back(sink);
        }
        for (const Flow& flow : flows)
        {
            auto socket = Socket::CreateSocket(nodes.Get(flow.first), udp);
            socket->Connect(InetSocketAddress(ends[flow.last], 9));
            sockets.push_back(socket);
        }
    }
    Simulator::Stop(PicoSeconds(end));
    std::clock_t begin = std::clock();
    Simulator::Run();
    double seconds = double(std::clock() - begin) / CLOCKS_PER_SEC;
    for (const auto& one : deliveries)
    {
        std::cout << one.flow << ' ' << one.birth << ' ' << one.latency << '\n';
    }
    std::cerr << sent << ' ' << deliveries.size() << ' ' << hops << ' ' << seconds << std::endl;
    sockets.clear();
    sinks.clear();
    Simulator::Destroy();
    return 0;
}
