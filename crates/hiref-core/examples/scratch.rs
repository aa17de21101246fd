use candle_core::{Device, Tensor, DType};
use hiref_core::*;
struct P;
impl Observer for P { fn on_event(&self, e:&Event){ match e { Event::LevelFinished(l)=>println!("{l:?}"), Event::PhaseFinished{phase,seconds}=>println!("{phase:?} {seconds:.2}"), _=>{} } } }
#[global_allocator]
static A: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main(){
 let a:Vec<String>=std::env::args().collect();
 let name=&a[1]; let exact:f64=a[2].parse().unwrap(); let cost:CostKind=a[3].parse().unwrap();
 let rd=|s:&str|Tensor::read_npy(format!("/work/shared/fixtures/{name}_{s}.npy")).unwrap().to_dtype(DType::F32).unwrap();
 let (x,y)= if let Some(rest)=name.strip_prefix("gen") { let v:Vec<usize>=rest.split('x').map(|s|s.parse().unwrap()).collect(); (gmm(v[0],v[1],1),gmm(v[0],v[1],2)) } else {(rd("x"),rd("y"))};
 let mut p=HirefParams::default();
 for kv in &a[4..] { let (k,v)=kv.split_once('=').unwrap(); match k { "rank"=>p.max_rank=v.parse().unwrap(),"leaf"=>p.leaf_size=v.parse().unwrap(),"block"=>p.polish_block_size=Some(v.parse().unwrap()),"sweeps"=>p.max_sweeps=Some(v.parse().unwrap()),"q"=>p.quality=match v{"fast"=>Quality::Fast,"best"=>Quality::Best,_=>Quality::Balanced},"t"=>p.time_limit=Some(v.parse().unwrap()),"seed"=>p.seed=v.parse().unwrap(),_=>panic!()}}
 let t=std::time::Instant::now();
 let pr=Problem::new(&x,&y,cost).unwrap();
 let o=p.check().unwrap().solve(&pr,None,&P).unwrap();
 let mut c=0.0; let every=(o.sweeps.len()/12).max(1);
 for s in &o.sweeps { c+=s.seconds; if s.sweep%every==0||s.sweep<4 {println!("sweep {} b{} cost {:.6} excess {:.3}% t {:.2}s",s.sweep,s.block_size,s.mean_cost,100.0*(s.mean_cost/exact-1.0),c);} }
 println!("{} cost {:.7} excess {:.4}% total {:.2}s {:?} {:?}",name,o.mean_cost,100.0*(o.mean_cost/exact-1.0),t.elapsed().as_secs_f64(),o.seconds,o.termination);
}
fn gmm(n:usize,d:usize,seed:u64)->Tensor{ use rand::{SeedableRng,Rng}; use rand_distr::StandardNormal;
 let mut r=rand::rngs::StdRng::seed_from_u64(99); let k=10; let c:Vec<f32>=(0..k*d).map(|_|3.0*r.sample::<f32,_>(StandardNormal)).collect();
 let mut r=rand::rngs::StdRng::seed_from_u64(seed); let mut v=Vec::with_capacity(n*d); for _ in 0..n { let q=r.random_range(0..k); for j in 0..d { v.push(c[q*d+j]+r.sample::<f32,_>(StandardNormal)); } } Tensor::from_vec(v,(n,d),&Device::Cpu).unwrap() }
